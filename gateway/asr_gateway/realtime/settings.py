"""The settings of a session, as its caller sets them and is shown them.

Three kinds of callers exist: for transcription sessions (`session.type` is "transcription"), for realtime sessions
("realtime", of which there is only the transcription of what comes in), and for the beta, whose sessions were flat.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from asr_contract.parameters import MAX_SILENCE_MS, MIN_SILENCE_MS

from asr_gateway.errors import ApiError
from asr_gateway.realtime.fields import Fields
from asr_gateway.realtime.formats import OPENAI_FORMAT, AudioFormat, read_format

Kind = Literal["transcription", "realtime"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Detector = Literal["server_vad", "semantic_vad"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)
Delay = Literal["minimal", "low", "medium", "high", "xhigh"]
DELAYS: tuple[Delay, ...] = get_args(Delay)
EARLY: tuple[Delay, ...] = ("minimal", "low", "medium")  # the others, and none at all, wait for final text
BETA_UPDATE = "transcription_session.update"
_BETA_AUDIO = ("input_audio_format", "input_audio_transcription", "turn_detection")


@dataclass(frozen=True)
class TurnDetection:
    """How the server tells where one turn ends and the next one begins."""

    detector: Detector = "server_vad"
    silence_ms: int | None = None  # that ends a turn; None: the model's


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a caller has asked for."""

    kind: Kind = "transcription"
    is_beta: bool = False  # the caller speaks as in beta
    format: AudioFormat = OPENAI_FORMAT
    model: str = ""  # as the caller names it; "": the default one
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    delay: Delay | None = None
    turns: TurnDetection | None = TurnDetection()  # None: the caller commits
    has_chosen_turns: bool = False  # the caller has said so

    @property
    def is_early(self) -> bool:
        """Return whether text is told before it is final."""
        return self.delay in EARLY


def updated(now: Settings, event: Fields) -> Settings:
    """Return the settings after an event that updates them. Fields that are not known are ignored.

    Raises:
        ApiError: a field is not valid.
    """
    session = event.object("session")
    if session is None:
        message = "There is no session; needs an object in the field 'session'."
        raise ApiError(400, "missing_required_parameter", message, param="session")
    kind = session.choice("type", KINDS) or now.kind
    is_flat = event.value("type") == BETA_UPDATE or any(name in session for name in _BETA_AUDIO)
    is_beta = is_flat or (now.is_beta and "audio" not in session and "type" not in session)
    now = replace(now, kind=kind, is_beta=is_beta)
    if is_beta:
        return _with_audio(now, session, *_BETA_AUDIO)
    audio = session.object("audio")
    given = audio.object("input") if audio else None
    return _with_audio(now, given, "format", "transcription", "turn_detection") if given else now


def described(settings: Settings, session_id: str, model: str) -> dict[str, Any]:
    """Return the session as the API shows it.

    Args:
        settings: of the session.
        session_id: as callers know it.
        model: the name of the model that works for it.
    """
    transcription = {
        "model": settings.model or model,
        "language": settings.languages[0] if settings.languages else None,
        "prompt": settings.prompt,
        **({"languages": list(settings.languages)} if len(settings.languages) > 1 else {}),
        **({"keywords": list(settings.keywords)} if settings.keywords else {}),
        **({"delay": settings.delay} if settings.delay else {}),
    }
    turns = _described_turns(settings.turns)
    shown: dict[str, Any] = {"id": session_id}
    if settings.kind == "realtime":
        shown |= {"object": "realtime.session", "model": model, "output_modalities": ["text"]}
    else:
        shown |= {"object": "realtime.transcription_session"}
    if settings.is_beta:
        parts = (settings.format.beta_name, transcription, turns)
        return {**shown, **dict(zip(_BETA_AUDIO, parts, strict=True)), "input_audio_noise_reduction": None}
    audio = {
        "format": settings.format.described(),
        "noise_reduction": None,
        "transcription": transcription,
        "turn_detection": turns,
    }
    return {**shown, "type": settings.kind, "audio": {"input": audio}, "include": None}


def _with_audio(now: Settings, audio: Fields, format_: str, transcription: str, turns: str) -> Settings:
    """Return the settings with the fields of these names in an object."""
    now = replace(now, format=read_format(audio, format_, now.format))
    if (asked := audio.object(transcription)) is not None:
        now = _with_transcription(now, asked)
    if turns in audio:
        now = replace(now, turns=_turns(audio.object(turns)), has_chosen_turns=True)
    return now


def _with_transcription(now: Settings, asked: Fields) -> Settings:
    language, languages = asked.text("language"), asked.texts("languages")
    if "language" in asked or languages is not None:
        now = replace(now, languages=(language,) if language else languages or ())
    model, prompt, keywords = asked.text("model"), asked.text("prompt"), asked.texts("keywords")
    return replace(
        now,
        model=now.model if model is None else model,
        prompt=prompt or "" if "prompt" in asked else now.prompt,
        keywords=keywords or () if "keywords" in asked else now.keywords,
        delay=asked.choice("delay", DELAYS) if "delay" in asked else now.delay,
    )


def _turns(asked: Fields | None) -> TurnDetection | None:
    if asked is None:
        return None
    # Checked, and without effect: the kit has its own threshold, and keeps half a second before the first sound.
    asked.number("threshold", 0, 1)
    asked.number("prefix_padding_ms", 0, 60_000)
    silence_ms = asked.whole_number("silence_duration_ms", MIN_SILENCE_MS, MAX_SILENCE_MS)
    return TurnDetection(asked.choice("type", DETECTORS) or "server_vad", silence_ms)


def _described_turns(turns: TurnDetection | None) -> dict[str, Any] | None:
    if turns is None:
        return None
    shown: dict[str, Any] = {"type": turns.detector}
    return shown if turns.silence_ms is None else {**shown, "silence_duration_ms": turns.silence_ms}
