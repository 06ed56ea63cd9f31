"""Texts, and the parts of them that callers are told."""

from asr_gateway.realtime.captions import Captions


def told(*results: tuple[str, bool]) -> tuple[list[str], str]:
    """What is told after each result, of which each text is final or stable; and the text at the end."""
    captions, parts = Captions(), []
    for text, is_final in results:
        captions.final(text) if is_final else captions.partial(text)
        parts.append(captions.news())
    return parts, captions.text


def test_a_segment_grows_to_its_final_text() -> None:
    parts, text = told(("HE", False), ("HE IS", False), ("HE IS THERE", True))
    assert parts == ["HE", " IS", " THERE"]
    assert text == "HE IS THERE"


def test_segments_are_joined_by_a_space() -> None:
    parts, text = told(("HE", True), ("SHE", False), ("SHE IS ", True), ("", True))
    assert parts == ["HE", " SHE", " IS", ""]
    assert text == "HE SHE IS"


def test_a_stable_text_that_changes_is_told_when_it_fits_again() -> None:
    assert told(("HE", False), ("THE OLD", False), ("HE IS", True)) == (["HE", "", " IS"], "HE IS")


def test_the_final_text_counts() -> None:
    assert told(("GLADTO", False), ("GLAD TO SEE", True)) == (["GLADTO", ""], "GLAD TO SEE")


def test_languages_without_spaces() -> None:
    assert told(("你好", False), ("你好世界", True)) == (["你好", "世界"], "你好世界")
