"""What the Locust users can be told: options of `locust`, and fields of its web page."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from asr_loadtest.errors import InvalidProfile
from asr_loadtest.mix import EXAMPLES
from asr_loadtest.recordings import DEFAULT_MIXED_RECORDINGS
from asr_loadtest.results import Arrivals

Protocol = Literal["grpc", "http"]


@dataclass(frozen=True)
class UserOptions:
    """Each field is an option of the same name; none is None, which the web page could not give back."""

    audio: str = ""  # folder or manifest
    mix: str = ""  # lengths to be made of it; "": the files as they are
    recordings: int = 0  # how many; 0: all, or the default number of a mix
    model: str = "asr"
    rate_per_user: float = 1.0  # requests/s of an open-loop user
    arrivals: Arrivals = "poisson"  # of an open-loop user
    seed: int = 0  # of the mix, the order of recordings and the arrivals
    check: bool = False  # hold every answer against the recording's transcript without load

    @classmethod
    def of(cls, parsed: Namespace | None) -> "UserOptions":
        """The options as Locust has them, wherever they were typed in.

        Raises:
            InvalidProfile: one is not valid.
        """
        given = {name: getattr(parsed, name) for name in (field.name for field in fields(cls)) if hasattr(parsed, name)}
        options = cls(**given)
        if not options.audio:
            raise InvalidProfile("no recordings to send; needs --audio, a folder of audio files or a manifest")
        if not options.rate_per_user > 0:
            raise InvalidProfile(f"--rate-per-user is {options.rate_per_user:g}; needs requests per second above 0")
        return options

    @property
    def source(self) -> Path:
        """Where the recordings are."""
        return Path(self.audio)


def add_options(parser: ArgumentParser) -> None:
    """Add them to Locust's parser; its web page shows the same, with the same words."""
    # Not in a group of their own: Locust leaves groups out of its page.
    default = UserOptions()
    parser.add_argument("--audio", default=default.audio, help="Folder of audio files, or manifest (TSV, JSONL)")
    parser.add_argument("--mix", default=default.mix, help=f"Make recordings of these lengths from them: {EXAMPLES}")
    parser.add_argument(
        "--recordings",
        type=int,
        default=default.recordings,
        help=f"How many recordings; 0: all files, or {DEFAULT_MIXED_RECORDINGS} of a mix",
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
        help="How the requests of an open-loop user are spaced",
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="Of the recordings, their order and arrivals")
    parser.add_argument(
        "--check",
        action="store_true",
        default=default.check,
        help="Count an answer that differs from the recording's transcript without load as a failure",
    )
