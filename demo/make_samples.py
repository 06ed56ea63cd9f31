"""Make the sample files: held-out sentences by held-out voices, in the containers and rates that people send.

    python demo/make_samples.py --output demo/samples

The model has no influence: the seed alone determines sentences, voices and conditions.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from grammar import QUILTER, held_out_sentence
from synthesis import HELD_OUT_VOICES, Audio, Voice, synthesise
from tqdm import tqdm

SAMPLES_SEED = 2024
PAUSE_S = 0.45  # between the sentences of a long recording


@dataclass(frozen=True)
class Recording:
    """One sample file."""

    name: str
    rate: int  # Hz
    channels: int
    words: tuple[tuple[int, int], ...]  # shortest and longest, one pair for each sentence; empty for Quilter
    subtype: str = ""  # soundfile's name of the sample format, or PyAV's name of the codec
    noise_db: float = -90.0  # background noise, relative to the speech


SHORT, MEDIUM, LONG = (1, 3), (5, 8), (9, 14)
RECORDINGS = (
    Recording("quilter.wav", 16_000, 1, (), "PCM_16"),
    Recording("telephone.wav", 8_000, 1, (MEDIUM,), "PCM_16", noise_db=-25),
    Recording("radio.wav", 22_050, 1, (LONG,), "PCM_16"),
    Recording("short_stereo.wav", 44_100, 2, (SHORT,), "PCM_16"),
    Recording("studio_24bit.wav", 48_000, 1, (MEDIUM,), "PCM_24"),
    Recording("float.wav", 16_000, 1, (MEDIUM,), "pcm_f32le"),
    Recording("plain.flac", 16_000, 1, (LONG,), "PCM_16"),
    Recording("stereo.flac", 44_100, 2, (MEDIUM,), "PCM_16"),
    Recording("studio.flac", 48_000, 1, (MEDIUM,), "PCM_16", noise_db=-30),
    Recording("stereo.mp3", 44_100, 2, (LONG,), "libmp3lame"),
    Recording("long.mp3", 22_050, 1, (LONG,) * 5, "libmp3lame"),
    Recording("voice_message.opus", 48_000, 1, (LONG, LONG), "libopus"),
    Recording("stereo_opus.ogg", 48_000, 2, (MEDIUM,), "libopus", noise_db=-25),
    Recording("vorbis.ogg", 44_100, 2, (LONG,), "VORBIS"),
    Recording("phone_memo.m4a", 48_000, 1, (LONG,), "aac"),
    Recording("memo.mp3", 16_000, 1, (MEDIUM,), "libmp3lame"),
)
PYAV_CONTAINERS = {".wav": "wav", ".mp3": "mp3", ".opus": "ogg", ".ogg": "ogg", ".m4a": "ipod"}


def sentences(recording: Recording, rng: random.Random) -> list[str]:
    """Return the sentences of a recording; training uses none of them."""
    if not recording.words:
        return [QUILTER]
    return [held_out_sentence(rng, low, high) for low, high in recording.words]


def record(recording: Recording, voice: Voice, texts: list[str], noise: np.random.Generator) -> Audio:
    """Return float32 [samples, channels] at the recording's rate, with a little silence around the speech."""
    rate = recording.rate
    parts: list[Audio] = [np.zeros(int(0.25 * rate), np.float32)]
    for text in texts:
        parts += [synthesise(text, voice, rate).samples, np.zeros(int(PAUSE_S * rate), np.float32)]
    mono = np.concatenate(parts)
    mono *= 0.5 / np.abs(mono).max()
    level = float(mono.std()) * 10 ** (recording.noise_db / 20)
    mono = mono + level * noise.standard_normal(len(mono)).astype(np.float32)
    # The second channel is fainter, as when a speaker stands to one side.
    sides = np.stack([mono, mono * np.float32(0.6)][: recording.channels], axis=1)
    return np.asarray(sides, np.float32)


def write(path: Path, samples: Audio, rate: int, subtype: str) -> None:
    if subtype.islower():
        _encode(path, samples, rate, subtype)
    elif subtype == "VORBIS":
        _vorbis(path, samples, rate)
    else:
        soundfile.write(path, samples, rate, subtype=subtype)


def _encode(path: Path, samples: Audio, rate: int, codec: str) -> None:
    """Write a file with PyAV; "bitexact" leaves out dates and random serial numbers."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    pcm = np.ascontiguousarray((samples * 32767).round().astype(np.int16).reshape(1, -1))
    with av.open(str(path), "w", format=PYAV_CONTAINERS[path.suffix], options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options={"flags": "+bitexact"})
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 32_000 * samples.shape[1] if codec != "libmp3lame" else 64_000
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def _vorbis(path: Path, samples: Audio, rate: int) -> None:
    """Write Vorbis with libsndfile, whose encoder is better than PyAV's, and remove its random serial number."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="OGG", subtype="VORBIS")
    buffer.seek(0)
    target = av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"})
    with av.open(buffer, "r") as source, target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "samples")
    parser.add_argument("--seed", type=int, default=SAMPLES_SEED)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rng, noise = random.Random(arguments.seed), np.random.default_rng(arguments.seed)
    voices = rng.sample(HELD_OUT_VOICES, len(RECORDINGS))
    lines = ["audio\ttext"]
    for recording, voice in zip(tqdm(RECORDINGS, unit="file", file=sys.stderr), voices, strict=True):
        texts = sentences(recording, rng)
        samples = record(recording, voice, texts, noise)
        write(arguments.output / recording.name, samples, recording.rate, recording.subtype)
        lines.append(f"{recording.name}\t{' '.join(texts)}")
    (arguments.output / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
