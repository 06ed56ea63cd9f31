"""Transcripts in the forms of OpenAI's API.

Subtitles come from `asr_client.formats`, as on the command line.
"""

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from asr_client import Segment, Transcription, Word, formats
from asr_contract.languages import NAMES
from asr_contract.parameters import Task
from starlette.responses import JSONResponse, PlainTextResponse, Response

from asr_gateway import decoding
from asr_gateway.forms import Form

_MEDIA_TYPES = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
# A confidence of 0 has no logarithm in JSON.
_LEAST_CONFIDENCE = 1e-9
_DECIMALS = 6


def answer(form: Form, transcription: Transcription, task: Task) -> Response:
    """Return the answer in the format that the form asks for."""
    match form.format:
        case "json":
            content: dict[str, Any] = {"text": transcription.text}
            if decoding.has_logprobs(form):
                content["logprobs"] = logprobs(transcription)
            return JSONResponse({**content, "usage": usage(transcription.duration)})
        case "verbose_json":
            return JSONResponse(_verbose(form, transcription, task))
        case "diarized_json":
            return JSONResponse(_diarized(transcription, task))
        case "text":
            text = f"{transcription.text}\n"
        case "srt" | "vtt":
            text = formats.render(transcription, form.format)
    return PlainTextResponse(text, media_type=_MEDIA_TYPES[form.format])


def usage(duration: float) -> dict[str, Any]:
    """Return what OpenAI would charge for."""
    return {"type": "duration", "seconds": math.ceil(duration)}


def logprobs(transcription: Transcription) -> list[dict[str, Any]]:
    """Return the log-prob of each word: the logarithm of its confidence, which is a mean over the word.

    Each token is a word with the white space before it, so that all tokens together are the text.
    """
    tokens = _tokens(transcription.text, [word.word for word in transcription.words])
    return [
        {"token": token, "logprob": _logarithm(word.confidence), "bytes": list(token.encode())}
        for token, word in zip(tokens, transcription.words, strict=True)
    ]


def diarized_segment(number: int, segment: Segment) -> dict[str, Any]:
    """Return a segment with its speaker; it is an event, too."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": _seconds(segment.start, "start"),
        "end": _seconds(segment.end, "end"),
        "text": segment.text,
        "speaker": segment.speaker or "",
    }


def _diarized(transcription: Transcription, task: Task) -> dict[str, Any]:
    return {
        "task": task,
        "duration": _seconds(transcription.duration, "duration"),
        "text": transcription.text,
        "segments": [diarized_segment(number, segment) for number, segment in enumerate(transcription.segments)],
        "usage": usage(transcription.duration),
    }


def _seconds(value: float, name: str) -> float:
    return round(value, formats.DECIMALS[name])


def _verbose(form: Form, transcription: Transcription, task: Task) -> dict[str, Any]:
    language = "en" if task == "translate" else transcription.language or ""
    content: dict[str, Any] = {
        "task": task,
        "language": NAMES.get(language, language),
        "duration": _seconds(transcription.duration, "duration"),
        "text": transcription.text,
        "usage": usage(transcription.duration),
    }
    if decoding.has_words(form):
        content["words"] = [_word(word) for word in transcription.words]
    if decoding.has_logprobs(form):
        content["logprobs"] = logprobs(transcription)
    if decoding.has_segments(form):
        texts = _tokens(transcription.text, [segment.text for segment in transcription.segments])
        content["segments"] = [
            _segment(number, segment, text)
            for number, (segment, text) in enumerate(zip(transcription.segments, texts, strict=True))
        ]
    for format in decoding.subtitles(form):
        content[format] = formats.render(transcription, format)
    return content


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.word.strip(), "start": word.start, "end": word.end, **_speaker(word)}


def _speaker(part: Word | Segment) -> dict[str, str]:
    """Return the field of separate channels; OpenAI's verbose_json has none."""
    return {} if part.speaker is None else {"speaker": part.speaker}


def _segment(number: int, segment: Segment, text: str) -> dict[str, Any]:
    """Return a segment with a number in every field: programs with types take no null.

    Its text has the white space before it, so that all segments together are the text, as OpenAI's are.
    Of a model that does not know them: the mean log-prob is the logarithm of the confidence, the compression ratio is
    computed as whisper does, and there is speech.
    """
    ratio = _compression_ratio(segment.text) if segment.compression_ratio is None else segment.compression_ratio
    mean = _logarithm(segment.confidence) if segment.avg_logprob is None else segment.avg_logprob
    return {
        "id": number,
        "seek": 0,
        "start": _seconds(segment.start, "start"),
        "end": _seconds(segment.end, "end"),
        "text": text,
        "tokens": [],
        "temperature": segment.temperature or 0.0,
        "avg_logprob": round(mean, _DECIMALS),
        "compression_ratio": round(ratio, _DECIMALS),
        "no_speech_prob": round(segment.no_speech_prob or 0.0, _DECIMALS),
        **_speaker(segment),
    }


def _compression_ratio(text: str) -> float:
    written = text.encode()
    return len(written) / len(zlib.compress(written))


def _logarithm(confidence: float) -> float:
    return round(math.log(max(confidence, _LEAST_CONFIDENCE)), _DECIMALS)


def _tokens(text: str, words: Sequence[str]) -> list[str]:
    """Return each word with what is before it in the text, the last one with what is after it."""
    tokens = []
    done = 0
    for word in (word.strip() for word in words):
        place = text.find(word, done)
        if place < 0:  # the text does not have the word as it was said
            tokens.append(word)
            continue
        tokens.append(text[done : place + len(word)])
        done = place + len(word)
    if tokens:
        tokens[-1] += text[done:]
    return tokens


def line(event: dict[str, Any] | str) -> bytes:
    """Return an event of a stream as it is sent."""
    data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"data: {data}\n\n".encode()
