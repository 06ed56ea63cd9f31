"""Request parameters of the Whisper step."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from asr_contract.errors import ParameterError
from asr_serving.whisper.options import Options, parse
from asr_serving.whisper.settings import Settings

from tests.serving.whisper.test_token_rules import END, settings

SETTINGS = replace(
    settings(None), languages={"en": 26, "de": 27}, tasks={"transcribe": 28, "translate": 29}, language=None
)
ENGLISH = settings(None)


def encode(text: str) -> list[int]:
    """One token a character: ids of text, but `!` is special."""
    return [END if character == "!" else 1 for character in text]


def options(**parameters: object) -> Options:
    return parse(parameters, SETTINGS, encode)


def test_defaults() -> None:
    assert options() == Options(language=None, task="transcribe")
    assert parse({}, ENGLISH, encode) == Options(language="en", task="transcribe")
    assert parse({}, replace(SETTINGS, language="de", task="translate"), encode) == Options("de", "translate")


def test_a_checkpoint_that_forces_a_language_alone_gets_no_token_of_a_task() -> None:
    alone = replace(SETTINGS, language="de", task=None)
    tokens = [alone.start, 27, alone.no_timestamps]
    assert parse({}, alone, encode).init_tokens(alone, "de") == tokens
    tokens.insert(2, 29)
    assert parse({"task": "translate"}, alone, encode).init_tokens(alone, "de") == tokens


def test_all_of_them() -> None:
    given = options(
        encoding="file",
        language="DE",
        task="translate",
        timestamps="true",
        prompt="  ab ",
        max_new_tokens="7",
        temperature_fallback=True,
    )
    assert given == Options("de", "translate", True, (22, 1, 1, 1), 7, True)


@pytest.mark.parametrize("name", ["german", "German", " GERMAN ", "de", "De"])
def test_a_language_has_a_name_too(name: str) -> None:
    assert options(language=name).language == "de"


def test_the_language_of_an_english_checkpoint_has_a_name_too() -> None:
    assert parse({"language": "English"}, ENGLISH, encode).language == "en"


def test_auto_detects_whatever_the_checkpoint_says() -> None:
    assert parse({"language": "auto"}, replace(SETTINGS, language="de"), encode).language is None
    assert parse({"language": "auto"}, ENGLISH, encode).language == "en"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"beam": 3},
            "unknown parameter 'beam'; needs some of encoding, .*, channel, of_channels, language",
        ),
        ({"language": "xx"}, r"language is 'xx'; needs auto or one of de \(german\), en \(english\)"),
        ({"language": "Deutsch"}, "language is 'Deutsch'; needs auto or one of"),
        ({"language": "french"}, "language is 'french'; needs auto or one of de"),  # not of this checkpoint
        ({"language": 3}, "language is 3; needs a language such as de or german, or auto"),
        ({"task": "sing"}, "task is 'sing'; needs one of transcribe, translate"),
        ({"timestamps": "maybe"}, "timestamps is 'maybe'; needs true or false"),
        ({"temperature_fallback": 1}, "temperature_fallback is 1; needs true or false"),
        ({"prompt": 3}, "prompt is 3; needs text"),
        ({"prompt": "hey!"}, "prompt 'hey!' holds a special token"),
        ({"prompt": "x" * 31}, "prompt has 32 tokens; needs 31 or fewer"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; needs a whole number from 1 to 448"),
        ({"max_new_tokens": 449}, "max_new_tokens is 449; needs a whole number from 1 to 448"),
        ({"max_new_tokens": 61}, "max_new_tokens is 61; needs a whole number from 1 to 60"),
        ({"max_new_tokens": 61, "timestamps": True, "prompt": "a"}, "needs a whole number from 1 to 58"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"max_new_tokens": "9" * 5000}, "max_new_tokens is '999"),
    ],
)
def test_refusals_name_what_is_valid(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        options(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"language": "de"}, r"language is 'de'; needs auto or one of en \(english\)"),
        ({"task": "translate"}, r"task is 'translate'; needs one of transcribe \(this checkpoint knows only en\)"),
    ],
)
def test_a_checkpoint_of_one_language(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(parameters, ENGLISH, encode)


@pytest.mark.parametrize(
    ("facts", "given", "tokens"),
    [
        (SETTINGS, Options("de", "translate"), [21, 27, 29, 24]),
        (SETTINGS, Options("en", "transcribe", timestamps=True), [21, 26, 28]),
        (ENGLISH, Options("en", "transcribe"), [21, 24]),
        (ENGLISH, Options("en", "transcribe", timestamps=True), [21]),
    ],
)
def test_the_tokens_before_the_first_written_one(facts: Settings, given: Options, tokens: list[int]) -> None:
    assert given.init_tokens(facts, given.language) == tokens


@pytest.mark.parametrize("change", [{"more": 1}, {"start": None}])
def test_a_settings_file_of_another_version_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    content = {
        key: value for key, value in {**asdict(SETTINGS), **change}.items() if value is not None or key != "start"
    }
    (tmp_path / "whisper.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="needs .*'begin_suppress'"):
        Settings.load(tmp_path / "whisper.json")


def test_graphs_without_attention_have_no_times_of_words() -> None:
    assert options(word_timestamps=True).word_timestamps
    without = replace(SETTINGS, word_times=False)
    with pytest.raises(ParameterError, match="graphs came with the checkpoint.*timestamps=true fills WORDS"):
        parse({"word_timestamps": True}, without, encode)
