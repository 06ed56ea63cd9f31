"""What a run has compared and measured, as the JSON file that docs/real-models.md is made of."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real.packages import Package

Row = dict[str, str | int | float]


@dataclass
class Results:
    """Rows of the tables, in the order in which they were added."""

    models: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    word_errors: list[Row] = field(default_factory=list)
    speeds: list[Row] = field(default_factory=list)
    packages: dict[str, Row] = field(default_factory=dict)  # by file

    def downloaded(self, package: Package, size: int) -> None:
        """Note a package of `size` bytes."""
        self.packages[package.file] = {
            "registry": package.registry,
            "package": package.name,
            "version": package.version,
            "sha256": package.sha256,
            "bytes": size,
            "licence": package.licence,
            "holds": package.holds,
        }

    def save(self, file: Path, machine: dict[str, Any]) -> None:
        """Write everything as JSON."""
        content = {
            "machine": machine,
            "packages": list(self.packages.values()),
            "models": self.models,
            "comparisons": self.comparisons,
            "word_errors": self.word_errors,
            "speeds": self.speeds,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
