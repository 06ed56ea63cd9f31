"""The report as a page: whole, well-formed, on its own, and safe with names from outside."""

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import pytest
from asr_loadtest.report.page import html
from asr_loadtest.results import MemberLoad, Report, ResourceSample
from loadtest_reports import closed, latency, report, search, step, streams

HOSTILE = '<script>alert("1")</script>&\x00\x1b\u202e$x^2$'


def parsed(page: str) -> ElementTree.Element:
    """The page as XML, which is stricter than any browser."""
    return ElementTree.fromstring(page.replace("<!doctype html>", ""))


def svgs(page: str) -> list[str]:
    return [base64.b64decode(code).decode() for code in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", page)]


def soak() -> Report:
    return report(step(), kind="soak")


@pytest.mark.parametrize(
    "made", [report(step(), step(8.0), closed()), search(), search(rate=None), soak(), report(streams(1), streams(8))]
)
def test_a_page_and_its_plots_are_well_formed(made: Report) -> None:
    page = html(made)
    parsed(page)
    assert svgs(page)
    for svg in svgs(page):
        ElementTree.fromstring(svg)


def test_nothing_comes_from_elsewhere() -> None:
    page = html(search())
    for element in parsed(page).iter():
        assert element.tag not in ("script", "link", "iframe", "object")
        assert all(value.startswith("data:") for name, value in element.attrib.items() if name in ("src", "href"))
    assert "url(" not in page
    assert "@import" not in page


def test_names_from_outside_are_only_text() -> None:
    hostile = step(
        by_class={HOSTILE: latency(9.0)},
        errors={HOSTILE: 2},
        error_example=HOSTILE,
        members=(MemberLoad(HOSTILE, 10, 5, 0, 2.0, 1.0, 1.0, 1.0, 1.0),),
        missed=(HOSTILE,),
    )
    made = report(hostile, step(8.0, void=(HOSTILE,)), command=HOSTILE)
    made = dataclasses.replace(made, target=dataclasses.replace(made.target, model=HOSTILE, server=HOSTILE))
    page = html(made)
    assert parsed(page).find(".//script") is None
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_void_step_has_its_reason_and_no_figures() -> None:
    page = html(report(step(2.0), step(4.0, 7777.0, void=("sent late",))))
    assert "sent late" in page
    assert "7,777" not in page


def test_a_report_of_void_steps_alone_is_no_result() -> None:
    page = html(report(step(void=("sent late",))))
    assert "No result: every step is void." in page
    assert not svgs(page)


def test_the_row_of_the_capacity_is_marked() -> None:
    row = parsed(html(search())).find(".//tr[@class='capacity']/th")
    assert row is not None
    assert row.text == "4/s"


def test_a_soak_says_what_grew() -> None:
    page = html(soak())
    assert "file descriptors</dt><dd>87.0 at the start; in the second half 87.0 throughout" in page
    assert "memory</dt><dd>400 MiB at the start; in the second half up by 0.0 MiB from 400 MiB" in page


def test_growth_that_has_ended_is_not_taken_for_a_leak() -> None:
    grown = [ResourceSample(float(at), 1.0, 2**20 * min(400, 300 + 5 * at), 87, 0, None, None) for at in range(60)]
    leaking = [ResourceSample(float(at), 1.0, 2**20 * (300 + 5 * at), 87, 0, None, None) for at in range(60)]
    page, other = (html(report(step(resources=tuple(samples)), kind="soak")) for samples in (grown, leaking))
    assert "300 MiB at the start; in the second half 400 MiB throughout" in page
    assert "in the second half up by 145 MiB from 450 MiB" in other
    assert "more than the noise" in other


def test_without_statistics_and_processes_there_is_still_a_page() -> None:
    parsed(html(report(step(members=(), resources=(), by_class={}))))


def test_a_page_of_live_streams_speaks_of_lags() -> None:
    page = html(report(streams(1), streams(8)))
    assert "8 streams" in page
    assert "Lag in milliseconds" in page
    assert "requests/s" not in page
    assert "scheduled arrival" not in page
