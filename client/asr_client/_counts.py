"""How many channels a recording seems to have, by its first bytes and without decoding it.

It is a guess, and the server knows better. A right one saves an upload: a client that asks for each channel has to say
how many there are.
"""

from collections.abc import Callable

from asr_client._lengths import Bytes, chunks, little, tag_end

HEAD_BYTES = 2**16  # that are looked at
USUAL = 2  # of recordings in which somebody looks for channels

_MONO_MP3 = 3  # of the two bits for its mode


def guess(head: Bytes) -> int:
    """Return how many channels the file has that begins with these bytes; USUAL where they do not tell."""
    for magic, read in _FORMATS:
        if head.startswith(magic):
            try:
                return read(head) or USUAL
            except IndexError:  # it is cut off, or no such file
                return USUAL
    return USUAL


def _wav(head: Bytes) -> int:
    return next((little(head, begin + 2, 2) for name, begin, _ in chunks(head) if name == b"fmt "), 0)


def _flac(head: Bytes, begin: int = 0) -> int:
    return (head[begin + 20] >> 1 & 7) + 1  # between the rate of 20 bits and the depth


def _ogg(head: Bytes) -> int:
    first = 27 + head[26]  # after the header and the sizes of its segments
    if head[first : first + 8] == b"OpusHead":
        return head[first + 9]
    return head[first + 11] if head[first : first + 7] == b"\x01vorbis" else 0


def _mp3(head: Bytes, begin: int = 0) -> int:
    is_mp3 = head[begin + 1] & 0xE6 in (0xE2, 0xE4, 0xE6)  # the first byte is the same in AAC
    return (1 if head[begin + 3] >> 6 == _MONO_MP3 else 2) if is_mp3 else 0


def _after_tag(head: Bytes) -> int:
    begin = tag_end(head)
    if head.startswith(b"fLaC", begin):
        return _flac(head, begin)
    return _mp3(head, begin) if head[begin] == 0xFF else 0


_FORMATS: tuple[tuple[bytes, Callable[[Bytes], int]], ...] = (
    (b"RIFF", _wav),
    (b"RF64", _wav),
    (b"fLaC", _flac),
    (b"OggS", _ogg),
    (b"ID3", _after_tag),
    (b"\xff", _mp3),
)
