"""What a run has compared and measured, as the JSON file that docs/real-models.md is made of."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real.downloads import cache
from real.packages import ALL

Row = dict[str, str | int | float]


@dataclass
class Results:
    """Rows of the tables, in the order in which they were added."""

    models: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    word_errors: list[Row] = field(default_factory=list)
    speeds: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # why recordings could not be had, and tests were skipped

    def save(self, file: Path, about: dict[str, Any]) -> None:
        """Write everything as JSON, with facts about the machine and the packages that are in the cache."""
        packages = [
            {
                "registry": package.registry,
                "package": package.name,
                "version": package.version,
                "sha256": package.sha256,
                "bytes": (cache() / package.file).stat().st_size,
                "licence": package.licence,
                "holds": package.holds,
            }
            for package in ALL
            if (cache() / package.file).is_file()
        ]
        content = {
            "machine": about,
            "missing": self.missing,
            "packages": packages,
            "models": self.models,
            "comparisons": self.comparisons,
            "word_errors": self.word_errors,
            "speeds": self.speeds,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
