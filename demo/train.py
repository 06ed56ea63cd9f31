"""Train the demo checkpoint from scratch, on speech that espeak-ng makes during training.

    python demo/train.py --work-dir build/demo-train --output demo/checkpoint

The model hears no clip twice: with a fixed set of clips it would learn the set and not the words. The seed and the step
alone determine the sentences, voices and quality of a batch. So a run that was killed continues from its last state
file.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from acoustic_model import BLANK, BlockConvolutions, build_model, encode, export, frame_counts, greedy, padded
from asr_contract.word_errors import compare
from grammar import held_out_sentence, training_sentence
from synthesis import (
    HELD_OUT_VOICES,
    SAMPLE_RATE,
    TRAINING_VOICES,
    Audio,
    Augmentation,
    Voice,
    augment,
    synthesise,
)
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import Wav2Vec2ForCTC
from transformers.utils import logging as transformers_logging

PEAK_LEARNING_RATE = 1.5e-3
WARM_UP_STEPS = 200
BATCH_S = 40.0  # seconds of audio in a batch, padding included
GRADIENT_CLIP = 1.0
SPEECHLESS = 0.02  # share of clips without a word, so that silence and noise give no text
EVALUATE_EVERY = 1000  # steps
SAVE_EVERY = 250  # steps
PROGRESS_SENTENCES = 100  # held-out sentences to evaluate during training


@dataclass(frozen=True)
class Stage:
    """The clips of one part of the training."""

    until_step: float
    words: tuple[tuple[int, int], ...]  # ranges of words a clip; a batch uses one, so that it has little padding
    voices: tuple[Voice, ...]
    augmentation: Augmentation
    random_order: float  # share of clips without grammar, whose words only the sound can tell
    pauses: float = 0.0  # share of clips with one or two pauses, so that the model learns silence between words


# With long sentences by many voices, the model gives only blanks for thousands of steps. With one or two words by three
# voices, it leaves that plateau after a few hundred.
CURRICULUM = (
    Stage(
        until_step=600,
        words=((1, 2),),
        voices=tuple(voice for voice in TRAINING_VOICES if voice.name in ("en-us+m1", "en-us+m3", "en-us+f2")),
        augmentation=Augmentation(noise=0.0, narrow=0.0, low_pass=0.0, speed=0.0, max_silence_s=0.3),
        random_order=0.5,
    ),
    Stage(
        until_step=1500,
        words=((1, 2), (2, 4), (3, 6)),
        voices=TRAINING_VOICES,
        augmentation=Augmentation(noise=0.2, narrow=0.05, low_pass=0.05, speed=0.3, max_silence_s=0.5),
        random_order=0.5,
    ),
    Stage(
        until_step=3500,
        words=((1, 3), (3, 6), (5, 8), (5, 8), (7, 11), (7, 11), (12, 20), (18, 32)),
        voices=TRAINING_VOICES,
        augmentation=Augmentation(),
        random_order=0.3,
    ),
    Stage(
        until_step=float("inf"),
        words=((1, 3), (3, 6), (5, 8), (5, 8), (7, 11), (7, 11), (12, 20), (18, 32)),
        voices=TRAINING_VOICES,
        augmentation=Augmentation(),
        random_order=0.3,
        pauses=0.3,
    ),
)


@dataclass(frozen=True)
class Batch:
    audio: Tensor  # float32 [clips, samples], normalised
    mask: Tensor  # int64 [clips, samples], 1 where there is audio
    labels: Tensor  # int64 [all labels of all clips]
    label_counts: Tensor  # int64 [clips]


class FreshSpeech(Dataset[Batch]):
    """The batches of a run with `seed`, by step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self.seed}/{step}")
        noise = np.random.default_rng([self.seed, step])
        stage = next(stage for stage in CURRICULUM if step < stage.until_step)
        clips, texts = _draw_clips(stage, rng, noise)
        labels = [encode(text) for text in texts]
        flat = torch.tensor([label for row in labels for label in row], dtype=torch.int64)
        return Batch(*padded(clips), flat, torch.tensor([len(row) for row in labels]))


def _draw_clips(stage: Stage, rng: random.Random, noise: np.random.Generator) -> tuple[list[Audio], list[str]]:
    """Return the clips and texts of a batch: as many as fit, by longest clip times number of clips."""
    low, high = rng.choice(stage.words)
    clips: list[Audio] = []
    texts: list[str] = []
    longest = 0
    while True:
        text = "" if rng.random() < SPEECHLESS else training_sentence(rng, low, high, stage.random_order)
        clip = _speechless(noise) if not text else _spoken(text, stage, rng, noise)
        longest = max(longest, len(clip))
        if clips and (len(clips) + 1) * longest > BATCH_S * SAMPLE_RATE:
            return clips, texts
        clips.append(clip)
        texts.append(text)


def _spoken(text: str, stage: Stage, rng: random.Random, noise: np.random.Generator) -> Audio:
    voice = rng.choice(stage.voices)
    varied = Voice(voice.accent, voice.variant, rate_wpm=rng.randint(130, 195), pitch=rng.randint(35, 65))
    parts = [synthesise(part, varied).samples for part in _parts(text, stage.pauses, rng)]
    for index in range(1, len(parts)):
        parts[index] = np.pad(parts[index], (int(rng.uniform(0.03, 0.8) * SAMPLE_RATE), 0))
    return augment(np.concatenate(parts), noise, stage.augmentation)


def _parts(text: str, share: float, rng: random.Random) -> list[str]:
    """Cut a text at one or two of its spaces, in a `share` of cases."""
    words = text.split()
    if not share or len(words) < 3 or rng.random() >= share:
        return [text]
    cuts = sorted(rng.sample(range(1, len(words)), rng.randint(1, 2)))
    return [" ".join(words[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]


def _speechless(noise: np.random.Generator) -> Audio:
    """Return zeros, or noise of any level, because normalisation makes the faintest noise as loud as speech."""
    count = int(noise.uniform(0.1, 5.0) * SAMPLE_RATE)
    silence = np.zeros(count, np.float32)
    if noise.random() < 0.25:
        return silence
    steady = np.float32(10 ** noise.uniform(-5, -0.5)) * noise.standard_normal(count).astype(np.float32)
    return augment(steady, noise, Augmentation(max_silence_s=0.5))


def learning_rate(step: int, steps: int) -> float:
    """Return the rate: warm-up, constant to half time, linear to zero. A resumed run with fewer `steps` descends."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    descent = min(1.0, max(0.0, (steps - step) / (steps / 2)))
    return PEAK_LEARNING_RATE * warm_up * descent


class HeldOut:
    """Sentences and voices that training never uses, to follow its progress."""

    def __init__(self, count: int) -> None:
        rng, noise = random.Random("held-out progress"), np.random.default_rng(1)
        self.texts = [held_out_sentence(rng, 1) for _ in range(count)]
        speech = [synthesise(text, rng.choice(HELD_OUT_VOICES)).samples for text in self.texts]
        self.clips = [augment(samples, noise, Augmentation()) for samples in speech]

    def word_error_rate(self, model: Wav2Vec2ForCTC) -> float:
        model.train(False)
        hypotheses = greedy(model, self.clips)
        model.train()
        return compare(zip(self.texts, hypotheses, strict=True)).wer or 0.0


def training_step(model: Wav2Vec2ForCTC, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Update the model once, and return the loss in nats a label."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch.audio, attention_mask=batch.mask).logits
    frames = frame_counts(model, batch.mask)
    log_probs = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)
    total = F.ctc_loss(
        log_probs, batch.labels, frames, batch.label_counts, blank=BLANK, reduction="sum", zero_infinity=True
    )
    loss = total / max(1, int(batch.label_counts.sum()))
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
    optimizer.step()
    return float(loss.detach())


@dataclass
class Run:
    """A training run and the one file that holds all of its state."""

    model: Wav2Vec2ForCTC
    optimizer: torch.optim.Optimizer
    state_file: Path
    seed: int
    step: int = 0

    def save(self) -> None:
        """Write another file and rename it, so that a kill at any moment leaves a complete one."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "seed": self.seed,
            "step": self.step,
        }
        partial = self.state_file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def resume(self) -> None:
        """Continue from the state file, if there is one."""
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True)
        if state["seed"] != self.seed:
            raise SystemExit(
                f"{self.state_file} belongs to seed {state['seed']}, not {self.seed}; name another --work-dir"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step = state["step"]


def start_run(work_dir: Path, seed: int) -> Run:
    work_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = build_model().train()
    model.wav2vec2.feature_extractor.forward = BlockConvolutions(model.wav2vec2.feature_extractor).forward
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    run = Run(model, optimizer, work_dir / "state.pt", seed)
    run.resume()
    return run


def batches(seed: int, start: int, steps: int) -> Iterator[Batch]:
    """Return the batches `start` to `steps` in order; a second process makes them."""
    loader: DataLoader[Batch] = DataLoader(
        FreshSpeech(seed), batch_size=None, sampler=range(start, steps), num_workers=1, prefetch_factor=16
    )
    return iter(loader)


def train(run: Run, steps: int, work_dir: Path) -> None:
    """Train up to `steps`; save and evaluate now and then, and export to `work_dir/checkpoint`."""
    source = batches(run.seed, run.step, steps)
    held_out = HeldOut(PROGRESS_SENTENCES)
    progress = tqdm(total=steps, initial=run.step, unit="step", mininterval=5, file=sys.stderr)
    smooth = None
    for batch in source:
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(run.step, steps)
        loss = training_step(run.model, run.optimizer, batch)
        smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
        run.step += 1
        progress.update()
        progress.set_postfix(loss=f"{smooth:.3f}", refresh=False)
        if run.step % SAVE_EVERY == 0 or run.step == steps:
            run.save()
        if run.step % EVALUATE_EVERY == 0 or run.step == steps:
            wer = held_out.word_error_rate(run.model)
            export(run.model, work_dir / "checkpoint")
            tqdm.write(f"step {run.step}: loss {smooth:.3f}, held-out WER {wer:.1%}", file=sys.stderr)
    progress.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=11_000, help="total steps; a resumed run may change it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo-train"), help="state and interim exports")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "checkpoint", help="final checkpoint")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    # Before any thread starts, so that all inherit it: the vanishing gradients of padding are denormal numbers, which
    # make a CPU many times slower.
    torch.set_flush_denormal(True)
    torch.set_num_threads(arguments.threads)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    begun = time.monotonic()
    run = start_run(arguments.work_dir, arguments.seed)
    train(run, arguments.steps, arguments.work_dir)
    export(run.model, arguments.output)
    print(f"{arguments.output}: {run.step} steps, {(time.monotonic() - begun) / 60:.0f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
