"""Small n-gram models: written as ARPA files, and scored by their definition."""

import math
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Bigrams:
    """A back-off bigram model; logarithms to the base 10, as in the file."""

    unigrams: dict[str, tuple[float, float]]  # entry -> (score, back-off)
    bigrams: dict[tuple[str, str], float] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """An ARPA file."""
        rows = {"<unk>": (-3.0, 0.0), "<s>": (-99.0, -0.2), "</s>": (-0.7, 0.0)} | self.unigrams
        lines = ["\\data\\", f"ngram 1={len(rows)}", f"ngram 2={len(self.bigrams)}", "", "\\1-grams:"]
        lines += [f"{score}\t{entry}\t{backoff}" for entry, (score, backoff) in rows.items()]
        lines += ["", "\\2-grams:", *(f"{score}\t{a} {b}" for (a, b), score in self.bigrams.items()), "", "\\end\\", ""]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def nats(self, entries: list[str]) -> float:
        """The natural logarithm of the probability of a whole sentence."""
        rows = {"<unk>": (-3.0, 0.0), "<s>": (-99.0, -0.2), "</s>": (-0.7, 0.0)} | self.unigrams
        total, before = 0.0, "<s>"
        for entry in [*entries, "</s>"]:
            known = entry if entry in rows else "<unk>"
            total += self.bigrams.get((before, known), rows[before][1] + rows[known][0])
            before = known
        return total * math.log(10)
