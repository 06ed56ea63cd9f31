"""Broken audio files, made from whole ones: the seed and the index alone determine each.

Some are still good audio, most are not. All are made from real files of many formats, so that they get deeper into the
decoders than random bytes would.
"""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Numbers that break arithmetic on sizes: zero, one, the ends of signed and unsigned ranges of each width.
_NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_RATES = (0, 1, 100, 3_999, 4_000, 8_000, 11_025, 44_100, 192_000, 384_000, 384_001, 2_000_000_000, 0xFFFFFFFF)
_CHANNELS = (0, 1, 2, 3, 6, 64, 65, 255, 1024, 0xFFFF)
_SAMPLE_BITS = (0, 1, 4, 8, 12, 16, 24, 32, 64, 0xFFFF)
_FORMAT_TAGS = (0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x50, 0x55, 0x1610, 0xFFFE, 0xFFFF)
_MAGIC = (
    *(b"RIFF\0\0\0\0WAVE", b"RF64\xff\xff\xff\xffWAVE", b"fLaC", b"OggS\0\2", b"ID3\4\0\0", b"\xff\xfb\x90\x64"),
    *(b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"FORM", b".snd", b"caff\0\1", b"#!AMR\n", b"0&\xb2u\x8ef\xcf\x11"),
)
_HEADER_BYTES = 512
_LONGEST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Mutant:
    """One file to send."""

    kind: str  # how it was made: a key of KINDS
    data: bytes


def mutant(sources: Sequence[bytes], seed: int, index: int) -> Mutant:
    """Return the file of that number; the kinds take turns."""
    chance = random.Random(f"{seed} {index}")
    kind = list(KINDS)[index % len(KINDS)]
    return Mutant(kind, KINDS[kind](chance, sources)[:_LONGEST_BYTES])


def _unchanged(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    return chance.choice(sources)


def _flipped_bits(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    data = bytearray(chance.choice(sources))
    for _ in range(chance.choice((1, 2, 8, 64, 512))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _broken_header(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    data = bytearray(chance.choice(sources))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(min(_HEADER_BYTES, len(data)))] = chance.randrange(256)
    return bytes(data)


def _odd_numbers(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Make numbers of 16, 32 or 64 bits in the header extreme, in either byte order."""
    data = bytearray(chance.choice(sources))
    for _ in range(chance.randint(1, 4)):
        width, letter = chance.choice(((2, "H"), (4, "I"), (8, "Q")))
        value = chance.choice((*_NUMBERS, 2**63 - 1, 2**64 - 1)) % 2 ** (8 * width)
        at = chance.randrange(0, min(_HEADER_BYTES, len(data) - width))
        struct.pack_into(chance.choice("<>") + letter, data, at, value)
    return bytes(data)


def _wav_fields(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Change one or more fields of a WAV's format, mostly to impossible values."""
    data = bytearray(chance.choice([source for source in sources if source[8:16] == b"WAVEfmt "]))
    fields = (
        ("<H", 20, _FORMAT_TAGS),
        ("<H", 22, _CHANNELS),
        ("<I", 24, _RATES),
        ("<I", 28, _NUMBERS),
        ("<H", 32, _CHANNELS),
        ("<H", 34, _SAMPLE_BITS),
    )
    for form, at, values in chance.sample(fields, chance.randint(1, 3)):
        struct.pack_into(form, data, at, chance.choice(values))
    return bytes(data)


def _claimed_sizes(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Make a size in a header wrong: of a RIFF chunk, FLAC's frames, an MP4 box or an ID3 tag."""
    data = bytearray(chance.choice(sources))
    size = chance.choice((0, 1, len(data) * 2, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF)) & 0xFFFFFFFF
    places = [
        (at + offset, form)
        for mark, offset, form in _SIZES
        for at in [data.find(mark)]
        if at >= max(0, -offset) and at + offset + 4 <= len(data)
    ]
    at, form = chance.choice(places or [(4, "<I")])
    struct.pack_into(form, data, at, size)
    return bytes(data)


# (mark before a size, offset of the size from the mark, format of the size).
_SIZES = (
    (b"RIFF", 4, "<I"),
    (b"fmt ", 4, "<I"),
    (b"data", 4, "<I"),
    (b"fLaC", 22, ">I"),  # the low 32 bits of the number of frames
    (b"ftyp", -4, ">I"),
    (b"moov", -4, ">I"),
    (b"mdat", -4, ">I"),
    (b"stsz", 12, ">I"),
    (b"ID3", 6, ">I"),
    (b"OggS", 26, "<I"),  # the number of segments, and the first of them
    (b"vorbis", 5, "<I"),
)


def _cut(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    data = chance.choice(sources)
    at = chance.choice((chance.randrange(64), chance.randrange(len(data))))
    return data[at:] if chance.random() < 0.3 else data[:at]


def _shuffled(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Repeat, drop or exchange blocks."""
    data = chance.choice(sources)
    edges = sorted(chance.randrange(len(data)) for _ in range(chance.randint(2, 12)))
    blocks = [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]
    head = [blocks.pop(0)] if chance.random() < 0.7 else []  # with its magic number, the file gets further
    return b"".join(head + chance.choices(blocks, k=chance.randint(1, len(blocks) + 4)))


def _spliced(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Join the beginning of one file and the end of another, mostly of another format."""
    first, second = chance.sample(list(sources), 2)
    return first[: chance.randrange(len(first))] + second[chance.randrange(len(second)) :]


def _hole(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Fill a part of the file with one byte."""
    data = bytearray(chance.choice(sources))
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((16, 1024, 65536)))
    data[start:end] = bytes([chance.choice((0, 0xFF, chance.randrange(256)))]) * (end - start)
    return bytes(data)


def _tail(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Append more bytes than belong there."""
    data = chance.choice(sources)
    return data + chance.choice((data, chance.randbytes(chance.randrange(1, 4096)), b"\0" * 100_000))


def _noise(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """Make random bytes, mostly after the magic number of a format."""
    del sources
    start = chance.choice((b"", *_MAGIC))
    return start + chance.randbytes(chance.choice((0, 1, 3, 44, 1024, 50_000)))


def _tiny(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    return chance.choice(sources)[: chance.randrange(200)]


KINDS: dict[str, Callable[[random.Random, Sequence[bytes]], bytes]] = {
    "unchanged": _unchanged,
    "flipped bits": _flipped_bits,
    "broken header": _broken_header,
    "odd numbers": _odd_numbers,
    "WAV fields": _wav_fields,
    "claimed sizes": _claimed_sizes,
    "cut": _cut,
    "shuffled": _shuffled,
    "spliced": _spliced,
    "hole": _hole,
    "tail": _tail,
    "noise": _noise,
    "tiny": _tiny,
}
