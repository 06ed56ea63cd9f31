"""The form of a request for a transcript: what OpenAI's API takes, read and checked.

Names of arrays may have brackets (`include[]`, as OpenAI's SDKs write them), numbers in them, or none. Fields that are
not known are ignored: programs send what other servers understand.

Starlette keeps a file of more than 1 MiB in a temporary file without a name, which is gone when it is closed, or when
the process ends in any way.
"""

import json
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import IO, Literal, TypeVar, get_args

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from asr_gateway.errors import ApiError, invalid

Format = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
FORMATS: tuple[Format, ...] = get_args(Format)
Granularity = Literal["word", "segment"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
STREAMED_FORMATS: tuple[Format, ...] = ("json", "text", "diarized_json")
LOGPROBS = "logprobs"
DIARIZED: Format = "diarized_json"
Subtitles = Literal["srt", "vtt"]
SUBTITLES: tuple[Subtitles, ...] = get_args(Subtitles)
AUTO = "auto"
SERVER_VAD = "server_vad"
Channels = Literal["mixed", "separate"]
CHANNELS: tuple[Channels, ...] = get_args(Channels)

_MEDIA_TYPE = "multipart/form-data"
# Fields lie in memory, where a recording does not. Whisper takes some 200 tokens of a prompt.
_MOST_FIELDS = 200
_MOST_FIELD_BYTES = 32 * 2**10
_ARRAY = re.compile(r"\[\d*\]$")
_STRATEGY = "chunking_strategy"
_STRATEGY_NUMBERS = ("threshold", "prefix_padding_ms", "silence_duration_ms")
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}

_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A request for a transcript."""

    audio: IO[bytes]  # it stands at its beginning
    model: str  # "": the default one
    languages: tuple[str, ...]  # that may be spoken, as the caller writes them
    prompt: str
    keywords: tuple[str, ...]
    format: Format
    granularities: frozenset[Granularity]  # of verbose_json
    wants_logprobs: bool
    subtitles: tuple[Subtitles, ...]  # that verbose_json has besides
    is_streamed: bool
    vad: bool  # nothing is written where nobody speaks
    channels: Channels  # separate: each is a speaker
    speakers: tuple[str, ...]  # names of the first channels, in their order; "" for one without a name
    is_in_memory: bool = False  # the recording is small, and on no disk

    def recording(self) -> IO[bytes] | bytes:
        """Return the recording, once; as bytes if it lies in memory, so that no thread has to read it."""
        return self.audio.read() if self.is_in_memory else self.audio


async def read(headers: Headers, receive: Receive) -> tuple[Form, Callable[[], Awaitable[None]]]:
    """Read the form of a request.

    Returns:
        The form, and a function that lets its file go.

    Raises:
        ApiError: it is no form, or broken, or one of its fields is not valid.
        ClientDisconnect: the caller went before its end.
    """
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise ApiError(
            415,
            "unsupported_content_type",
            f"The content type is {content_type[:80]!r}; needs {_MEDIA_TYPE}, with the recording in the field 'file'.",
        )
    parser = _Parser(headers, receive)
    try:
        data = await parser.parse()
    except MultiPartException as error:
        raise ApiError(400, "invalid_request", f"The form cannot be read: {error.message}") from error
    finally:
        await parser.stream.aclose()
    try:
        return parse(data), data.close
    except BaseException:
        await data.close()
        raise


class _Parser(MultiPartParser):
    """Starlette's, which would take a form without its end, and would leave the file open that has none."""

    def __init__(self, headers: Headers, receive: Receive) -> None:
        super().__init__(
            headers, self._whole(receive), max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD_BYTES
        )
        self._has_ended = False

    def on_end(self) -> None:
        self._has_ended = True

    async def _whole(self, receive: Receive) -> AsyncGenerator[bytes, None]:
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            yield message.get("body", b"")
            has_more = message.get("more_body", False)
        if not self._has_ended:
            raise MultiPartException("it ends before its last boundary")


def parse(data: FormData) -> Form:
    """Return the form with these fields.

    Raises:
        ApiError: a field is missing, or not valid.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for name, value in data.multi_items():
        if isinstance(value, str):
            texts[_ARRAY.sub("", name)].append(value)
    fields = _Fields(texts)
    included = fields.choices("include", (LOGPROBS, *SUBTITLES))
    fields.number("temperature", 0, 1)  # checked, and without effect: the server takes the likeliest token
    channels = _channels(fields)
    upload = _file(data, texts)
    form = Form(
        audio=upload.file,
        is_in_memory=upload.size is not None and upload.size <= _Parser.spool_max_size,
        model=fields.text("model").strip(),
        languages=tuple(filter(None, map(str.strip, fields.all("language") or fields.all("languages")))),
        prompt=fields.text("prompt").strip(),
        keywords=tuple(filter(None, map(str.strip, fields.all("keywords")))),
        format=fields.choice("response_format", FORMATS, "json"),
        granularities=frozenset(fields.choices("timestamp_granularities", GRANULARITIES)),
        wants_logprobs=LOGPROBS in included,
        subtitles=tuple(format for format in SUBTITLES if format in included),
        is_streamed=fields.flag("stream"),
        vad=_uses_vad(fields),
        channels=channels,
        speakers=_speakers(fields) if channels == "separate" else (),
    )
    if form.is_streamed and form.format not in STREAMED_FORMATS:
        raise ApiError(
            400,
            "unsupported_value",
            f"stream=true goes with response_format {', '.join(STREAMED_FORMATS)}, not with {form.format}.",
            param="stream",
        )
    return form


class _Fields:
    """The texts of a form by name, without brackets."""

    def __init__(self, texts: dict[str, list[str]]) -> None:
        self._texts = texts

    def has_any(self, beginning: str) -> bool:
        """Return whether there is a field whose name begins so."""
        return any(name.startswith(beginning) for name in self._texts)

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return self._texts.get(name, [])

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a field; of several, the last one."""
        values = self.all(name)
        return values[-1] if values else default

    def flag(self, name: str) -> bool:
        value = self.text(name).strip().lower()
        if value not in _FLAGS:
            raise invalid(name, value, "true or false")
        return _FLAGS[value]

    def number(self, name: str, low: float, high: float) -> None:
        """Raise an ApiError if the field is there, and is no number in this range."""
        value = self.text(name).strip()
        try:
            if value and not low <= float(value) <= high:
                raise ValueError
        except ValueError:
            raise invalid(name, value, f"a number from {low:g} to {high:g}") from None

    def choice(self, name: str, values: tuple[_Choice, ...], default: _Choice) -> _Choice:
        return _chosen(name, self.text(name).strip() or default, values)

    def choices(self, name: str, values: tuple[_Choice, ...]) -> list[_Choice]:
        return [_chosen(f"{name}[]", value.strip(), values) for value in self.all(name) if value.strip()]


def _chosen(name: str, value: str, values: Iterable[_Choice]) -> _Choice:
    for known in values:
        if value == known:
            return known
    raise invalid(name, value, f"one of {', '.join(values)}")


def _file(data: FormData, texts: dict[str, list[str]]) -> UploadFile:
    upload = data.get("file")
    if not isinstance(upload, UploadFile):
        hint = ": the field 'file' came without a filename" if "file" in texts else ""
        message = f"There is no recording{hint}; needs an audio file in the field 'file'."
        raise ApiError(400, "missing_required_parameter", message, param="file")
    return upload


def _channels(fields: _Fields) -> Channels:
    """Return how the channels are heard. The speakers of diarized_json are channels."""
    is_diarized = fields.text("response_format").strip() == DIARIZED
    default: Channels = "separate" if is_diarized else "mixed"
    channels = fields.choice("channels", CHANNELS, default)
    if is_diarized and channels == "mixed":
        message = f"channels=mixed does not go with response_format {DIARIZED}, whose speakers are channels."
        raise ApiError(400, "unsupported_value", message, param="channels")
    return channels


def _speakers(fields: _Fields) -> tuple[str, ...]:
    """Return the names of the channels. Samples of voices are refused: the answer would have other speakers."""
    if fields.all("known_speaker_references"):
        raise ApiError(
            400,
            "unsupported_value",
            "known_speaker_references[] are for servers that know voices. Here a speaker is a channel of the "
            "recording; known_speaker_names[] has the names of the channels, in their order.",
            param="known_speaker_references[]",
        )
    names = tuple(" ".join(name.split()) for name in fields.all("known_speaker_names"))
    given = [name for name in names if name]
    if twice := [name for name in given if given.count(name) > 1]:
        raise invalid("known_speaker_names[]", twice[0], "another name for each channel: it is given twice")
    return names


def _uses_vad(fields: _Fields) -> bool:
    """Return whether the form asks for a voice detector, as text, as JSON, or as fields with brackets."""
    if not fields.has_any(_STRATEGY):
        return False
    strategy = fields.text(_STRATEGY).strip()
    if strategy.startswith("{"):
        try:
            strategy = str(json.loads(strategy).get("type", ""))
        except (ValueError, RecursionError):
            raise invalid(_STRATEGY, strategy, f"{AUTO}, or an object with the type {SERVER_VAD}") from None
    for name in _STRATEGY_NUMBERS:
        fields.number(f"{_STRATEGY}[{name}]", 0, 1e6)
    strategy = fields.text(f"{_STRATEGY}[type]", strategy).strip()
    return _chosen(_STRATEGY, strategy or AUTO, (AUTO, SERVER_VAD)) == SERVER_VAD
