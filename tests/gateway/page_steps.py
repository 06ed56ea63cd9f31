"""What a user does on the page, and sees."""

from pathlib import Path
from typing import Any

from asr_contract.word_errors import normalize, score
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
_IMPACTS = ("serious", "critical")


def said(sample: Path) -> str:
    """Return what is said in one of the demo's recordings."""
    rows = (SAMPLES / "manifest.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return dict(row.split("\t") for row in rows)[sample.name]


def upload(page: Page, file: Any) -> None:
    """Choose a file: a path, or a dict with name, mimeType and buffer."""
    page.set_input_files("#file", str(file) if isinstance(file, Path) else file)


def shown(page: Page) -> str:
    """Return the transcript, as soon as it is there."""
    expect(page.locator("#result")).to_be_visible()
    return " ".join(" ".join(page.locator(".said").all_inner_texts()).split())


def errors(reference: str, transcript: str) -> float:
    """Return the word error rate."""
    wer = score(normalize(reference), normalize(transcript)).wer
    assert wer is not None
    return wer


def violations(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people out."""
    return [
        f"{rule['id']}: {node['html']}: {node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in _IMPACTS
        for node in rule["nodes"]
    ]
