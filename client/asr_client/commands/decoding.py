"""The options of a command that say what is heard, and how a CTC model or Whisper makes text of it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from asr_contract.parameters import Task

from asr_client._options import DecodeOptions

Decoder = Annotated[
    Literal["greedy", "beam"], typer.Option(help="beam: the likeliest text over all of its alignments; slower.")
]
BeamWidth = Annotated[int, typer.Option(min=1, metavar="N", help="Prefixes that beam search keeps.")]
LmWeight = Annotated[
    float | None,
    typer.Option(min=0, help="Weight of the language model in beam search; 0: without it.", show_default=False),
]
WordScore = Annotated[
    float | None,
    typer.Option(help="Bonus for each word, in nats: a language model prefers few words.", show_default=False),
]
Words = Annotated[
    str, typer.Option("--hotwords", metavar="WORD,…", help="Listen for these words; WORD^5 gives one its own weight.")
]
File = Annotated[
    Path | None,
    typer.Option("--hotwords-file", metavar="FILE", help="Read them from a file, one a line; # begins a comment."),
]
Language = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whisper: the spoken language (german, de …); auto detects it.")
]
ItsTask = Annotated[Task | None, typer.Option(help="Whisper: translate means into English.")]
Prompt = Annotated[str, typer.Option(metavar="TEXT", help="Whisper: names and spellings, or the text before.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Whisper: most tokens of one window of 30 s.")]
Fallback = Annotated[
    bool, typer.Option("--temperature-fallback", help="Whisper: decode again where the text repeats itself.")
]
Vad = Annotated[
    bool,
    typer.Option("--vad", help="Write nothing where a voice detector finds no speech: silence, music, noise."),
]


def join_hotwords(words: str, file: Path | None) -> str:
    """Return the words of both as one list, as the server takes it.

    Raises:
        typer.BadParameter: the file cannot be read, or a line of it holds a comma.
    """
    if file is None:
        return words
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {file}: {error}", param_hint="--hotwords-file") from error
    if broken := next((line for line in lines if "," in line), None):
        raise typer.BadParameter(f"{file} holds {broken!r}; needs one word a line", param_hint="--hotwords-file")
    return ",".join(filter(None, [words, *lines]))


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """The voice detector, and the decoding of a CTC model: each field is an option of the command (see `groups`)."""

    vad: Vad = False
    decoder: Decoder = "greedy"
    beam_width: BeamWidth = DecodeOptions.beam_width
    lm_weight: LmWeight = None
    word_score: WordScore = None
    hotwords: Words = ""
    hotwords_file: File = None

    def options(self) -> DecodeOptions:
        """Return the options as the client takes them.

        Raises:
            typer.BadParameter: the file of hotwords cannot be read, or a line of it holds a comma.
        """
        return DecodeOptions(
            vad=self.vad,
            decoder=self.decoder,
            beam_width=self.beam_width,
            lm_weight=self.lm_weight,
            word_score=self.word_score,
            hotwords=join_hotwords(self.hotwords, self.hotwords_file),
        )


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The decoding of Whisper: each field is an option of the command line, and of `DecodeOptions`."""

    language: Language = None
    task: ItsTask = None
    prompt: Prompt = ""
    max_new_tokens: Limit = None
    temperature_fallback: Fallback = False

    def added_to(self, options: DecodeOptions) -> DecodeOptions:
        """Return the options with these in their place."""
        return replace(options, **asdict(self))


DEFAULT = Decoding()
DEFAULT_GENERATION = Generation()
