"""Contenders in turns: seconds of audio per second, ratios within rounds, and word error rates."""

import contextlib
import sys
from collections.abc import Collection, Mapping
from typing import Any

from asr_contract.word_errors import normalize
from error_rates import wer_percent
from machine import idle_cores
from peers.figures import spread
from tqdm import tqdm

from whisper_bench.contenders import Contender, Heard, InProcess, Job, Kit, KitWithVad
from whisper_bench.models import LIBRARIES, Models

CALLERS = 8
# Words in a text for each that was said; the share of recordings of which a contender must write so many.
LEAST_WORDS, MOST_WORDS = 0.7, 1.4
LEAST_FIT = 0.8
# What all are compared with, within each round.
REFERENCES = ("faster-whisper-int8", "faster-whisper-fp32")


def one_caller(models: Models, job: Job, rounds: int) -> tuple[dict[str, Any], Job]:
    """Measure one caller who sends one recording after the other.

    Returns:
        The figures, and the recordings that were measured: those that all transcribe whole.
    """
    with contextlib.ExitStack() as running:
        contenders = _started(running, models)
        heard = _warm_up("one caller", contenders, job)
        measured, unfit = whole(job, heard)
        return {
            **_about(measured, rounds),
            "not_whole": len(job.clips) - len(measured.clips),
            "unfit": unfit,
            "versions": {name: one.versions for name, one in contenders.items() if isinstance(one, InProcess)},
            "idle_cores": idle_cores(),
            "contenders": _in_turns("one caller", contenders, measured, rounds, _wers(job, heard)),
        }, measured


def eight_callers(
    models: Models, job: Job, all_prompts: Job, rounds: int, unfit: Collection[str] = ()
) -> dict[str, Any]:
    """Measure eight callers; before that, all transcribe all prompts, of which the word error rates are.

    Args:
        models: what the contenders load.
        job: recordings that all transcribe whole, but those of `unfit`.
        all_prompts: for the word errors.
        rounds: of measurements.
        unfit: contenders that failed at these recordings; they get no ratios here, either.
    """
    with contextlib.ExitStack() as running:
        contenders = _started(running, models, is_crowd=True)
        heard = _warm_up("all prompts", contenders, all_prompts)
        wers = _wers(all_prompts, heard)
        figures = _in_turns("eight callers", contenders, job, rounds, wers)
    return {
        **_about(job, rounds),
        "unfit": sorted({*unfit, *whole(all_prompts, heard)[1]}),
        "contenders": figures,
        "word_errors": {**_about(all_prompts, 1), "words": _words(all_prompts), "wer": wers},
    }


def whole(job: Job, heard: Mapping[str, Heard]) -> tuple[Job, list[str]]:
    """Return the recordings that all transcribe whole, and the contenders that fail at more than a fifth of them.

    A text that stops early, or loops, takes another time than the work that is compared. It is whole if it has about as
    many words as were said. The contenders that fail often have no say in what is measured, and no ratios.

    Raises:
        RuntimeError: no recording is left.
    """
    fits = {
        name: [
            LEAST_WORDS <= len(normalize(text).split()) / len(normalize(clip.text).split()) <= MOST_WORDS
            for clip, text in zip(job.clips, one.texts, strict=True)
        ]
        for name, one in heard.items()
    }
    unfit = [name for name, each in fits.items() if sum(each) < LEAST_FIT * len(each)]
    judges = [each for name, each in fits.items() if name not in unfit]
    clips = tuple(clip for clip, *each in zip(job.clips, *judges, strict=True) if all(each))
    if not judges or not clips:
        raise RuntimeError(f"no recording is transcribed whole by all contenders; unfit: {', '.join(unfit) or 'none'}")
    return Job(clips, job.callers, job.is_long), unfit


def long_file(models: Models, job: Job, rounds: int) -> dict[str, Any]:
    """Measure one long recording; the kit with and without its voice detector."""
    with contextlib.ExitStack() as running:
        started = _started(running, models)
        contenders = {name: one for name, one in started.items() if name not in LIBRARIES or LIBRARIES[name].hears_long}
        for name, kit in started.items():
            if isinstance(kit, Kit):
                contenders[f"{name}-vad"] = KitWithVad(kit)
        heard = _warm_up("long file", contenders, job)
        return {
            **_about(job, rounds),
            "unfit": whole(job, heard)[1],
            "contenders": _in_turns("long file", contenders, job, rounds, _wers(job, heard)),
            "do_not_hear_it": sorted(set(started) - set(contenders)),
        }


def _started(running: contextlib.ExitStack, models: Models, is_crowd: bool = False) -> dict[str, Contender]:
    """Start all contenders, by name; those of the kit come last."""
    contenders: dict[str, Contender] = {
        name: InProcess(LIBRARIES[name], folder, is_crowd) for name, folder in models.folders.items()
    }
    contenders |= {f"kit-{precision}": Kit(path) for precision, path in models.repositories.items()}
    for name, contender in contenders.items():
        print(f"starting {name}", file=sys.stderr)
        running.enter_context(contender)
    return contenders


def _warm_up(title: str, contenders: Mapping[str, Contender], job: Job) -> dict[str, Heard]:
    return {name: one.hear(job) for name, one in tqdm(contenders.items(), desc=f"{title}, unmeasured")}


def _in_turns(
    title: str, contenders: Mapping[str, Contender], job: Job, rounds: int, wers: Mapping[str, float]
) -> dict[str, Any]:
    """Measure in rounds, in alternating order."""
    rtfx: dict[str, list[float]] = {name: [] for name in contenders}
    with tqdm(total=rounds * len(contenders), desc=title) as progress:
        for number in range(rounds):
            for name in contenders if number % 2 == 0 else reversed(list(contenders)):
                rtfx[name].append(job.seconds / contenders[name].hear(job).seconds)
                progress.update()
    return figures(rtfx, wers)


def figures(rtfx: Mapping[str, list[float]], wers: Mapping[str, float]) -> dict[str, Any]:
    """Return, by contender, seconds of audio per second, its ratios to the references of the same rounds, and its WER.

    Args:
        rtfx: contender -> a value for each round.
        wers: contender -> percent.
    """
    return {
        name: {
            "rtfx": spread(values),
            "ratios": {
                reference: spread(mine / theirs for mine, theirs in zip(values, rtfx[reference], strict=True))
                for reference in REFERENCES
                if reference in rtfx
            },
            "wer": wers[name],
        }
        for name, values in rtfx.items()
    }


def _about(job: Job, rounds: int) -> dict[str, Any]:
    return {"recordings": len(job.clips), "audio_s": round(job.seconds, 1), "callers": job.callers, "rounds": rounds}


def _wers(job: Job, heard: Mapping[str, Heard]) -> dict[str, float]:
    return {
        name: wer_percent(zip((clip.text for clip in job.clips), one.texts, strict=True)) for name, one in heard.items()
    }


def _words(job: Job) -> int:
    return sum(len(clip.text.split()) for clip in job.clips)
