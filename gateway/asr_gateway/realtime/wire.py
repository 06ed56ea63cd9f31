"""The events of the Realtime API as JSON: what callers send, and what they are sent."""

import json
from typing import Any

from asr_gateway import answers
from asr_gateway.errors import ApiError
from asr_gateway.realtime.fields import Fields

Event = dict[str, Any]

# OpenAI takes 15 MiB of audio in an event, which is a third more in base64.
MOST_MESSAGE = 21 * 2**20  # characters
_MOST_EVENT_ID = 512  # characters
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def read(message: str | bytes | None) -> Fields:
    """Return the event in a message of a caller.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(message, str):
        raise ApiError(400, "invalid_message", "The message is binary; needs JSON as text, with audio in base64.")
    if len(message) > MOST_MESSAGE:
        raise ApiError(
            413,
            "message_too_large",
            f"The message has {len(message)} characters; needs {MOST_MESSAGE} at most: send audio in several events.",
        )
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_json", "The message is no JSON; needs an object with the field 'type'.") from None
    if not isinstance(event, dict):
        raise ApiError(400, "invalid_json", "The message is no object of JSON; needs one with the field 'type'.")
    return Fields(event)


def event_id(event: Fields) -> str | None:
    """Return the id that a caller gave to an event; None if there is none that can be given back."""
    given = event.value("event_id")
    return given if isinstance(given, str) and len(given) <= _MOST_EVENT_ID else None


def error(told: ApiError, culprit: str | None) -> Event:
    """Return the event for an error.

    Args:
        told: the error.
        culprit: the id of the caller's event that it is about.
    """
    return {"type": "error", "error": {**_shown(told), "event_id": culprit}}


def delta(item_id: str, text: str) -> Event:
    """Return the event for a part of an item's text."""
    return {"type": f"{_TRANSCRIPTION}.delta", "item_id": item_id, "content_index": 0, "delta": text}


def completed(item_id: str, text: str, seconds: float) -> Event:
    """Return the event for the whole text of an item, which has so many seconds of audio."""
    usage = answers.usage(seconds)
    told = {"item_id": item_id, "content_index": 0, "transcript": text, "usage": usage}
    return {"type": f"{_TRANSCRIPTION}.completed", **told}


def failed(item_id: str, told: ApiError) -> Event:
    """Return the event for an item that gets no text."""
    return {"type": f"{_TRANSCRIPTION}.failed", "item_id": item_id, "content_index": 0, "error": _shown(told)}


def speech_started(item_id: str, seconds: float) -> Event:
    """Return the event for the beginning of a turn, so many seconds after that of the session."""
    return {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": round(1000 * seconds)}


def speech_stopped(item_id: str, seconds: float) -> Event:
    """Return the event for the end of a turn."""
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": round(1000 * seconds)}


def committed(item_id: str, previous_id: str | None, is_beta: bool) -> list[Event]:
    """Return the events for audio that has become an item of the conversation."""
    item = {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    kinds = ("created",) if is_beta else ("added", "done")
    return [
        {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous_id},
        *({"type": f"conversation.item.{kind}", "previous_item_id": previous_id, "item": item} for kind in kinds),
    ]


def outcome(event: Event) -> str | None:
    """Return how an item has ended, if the event says so: "ok", or the code of an error."""
    match event["type"].removeprefix(f"{_TRANSCRIPTION}."):
        case "completed":
            return "ok"
        case "failed":
            return str(event["error"]["code"])
        case _:
            return None


def _shown(told: ApiError) -> dict[str, Any]:
    shown: dict[str, Any] = told.body()["error"]
    return shown
