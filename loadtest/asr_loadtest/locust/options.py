"""The options of the Locust users, on the command line and on Locust's web page."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from asr_loadtest.errors import InvalidProfile
from asr_loadtest.mix import EXAMPLES
from asr_loadtest.recordings import DEFAULT_MIXED_RECORDINGS
from asr_loadtest.results import Arrivals

Protocol = Literal["grpc", "http", "openai"]


@dataclass(frozen=True)
class UserOptions:
    """Each field is an option of the same name. None is no value, because the web page cannot give it back."""

    audio: str = ""  # folder or manifest
    mix: str = ""  # lengths of recordings to make of it; "": take the files as they are
    recordings: int = 0  # how many to use; 0: all, or the default number of a mix
    model: str = "asr"
    rate_per_user: float = 1.0  # requests/s of an open-loop user
    arrivals: Arrivals = "poisson"  # of an open-loop user
    seed: int = 0  # of the mix, the order of recordings and the arrivals
    check: bool = False  # compare every answer with the recording's transcript without load

    @classmethod
    def of(cls, parsed: Namespace | None) -> "UserOptions":
        """Return the options from those of Locust, wherever they were typed.

        Raises:
            InvalidProfile: an option is not valid.
        """
        given = {name: getattr(parsed, name) for name in (field.name for field in fields(cls)) if hasattr(parsed, name)}
        options = cls(**given)
        if not options.audio:
            raise InvalidProfile("no recordings are given; needs --audio, a folder of audio files or a manifest")
        if not options.rate_per_user > 0:
            raise InvalidProfile(f"--rate-per-user is {options.rate_per_user:g}; needs requests per second above 0")
        return options

    @property
    def source(self) -> Path:
        """Return the folder or manifest of the recordings."""
        return Path(self.audio)


def add_options(parser: ArgumentParser) -> None:
    """Add the options to Locust's parser; its web page shows the same options with the same texts."""
    # They have no group of their own, because Locust leaves groups out of its page.
    default = UserOptions()
    parser.add_argument("--audio", default=default.audio, help="Folder of audio files, or manifest (TSV, JSONL)")
    parser.add_argument(
        "--mix", default=default.mix, help=f"Make recordings of these lengths, in seconds, from them: {EXAMPLES}"
    )
    parser.add_argument(
        "--recordings",
        type=int,
        default=default.recordings,
        help=f"How many recordings to use; 0: all files, or {DEFAULT_MIXED_RECORDINGS} of a mix",
    )
    parser.add_argument("--model", default=default.model, help="Name of the model, as in export --name")
    parser.add_argument(
        "--rate-per-user",
        type=float,
        default=default.rate_per_user,
        help="Requests per second of each open-loop user",
    )
    parser.add_argument(
        "--arrivals",
        choices=get_args(Arrivals),
        default=default.arrivals,
        help="How the requests of an open-loop user are spaced in time",
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="Seed of the mix, the order of recordings and the arrivals"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        default=default.check,
        help="Count an answer that differs from the recording's transcript without load as a failure",
    )
