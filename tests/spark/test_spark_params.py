"""The Params: real methods, checked values, errors that say what is valid. No session is needed."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from asr_client import DecodeOptions, InvalidOption
from asr_spark import TritonSpeechToText

CONNECTION = {
    "urls": ["a:8001", "b:8001"],
    "model": "whisper",
    "protocol": "http",
    "samplingRate": 8_000,
    "concurrency": 4,
    "timeoutS": 5.0,
    "failAfterS": 7.0,
    "tls": True,
    "headersFile": "/run/headers",
    "tlsCaFile": "/run/ca",
    "tlsCertFile": "/run/cert",
    "tlsKeyFile": "/run/key",
}
DECODING = {
    "word_timestamps": True,
    "decoder": "beam",
    "beam_width": 8,
    "lm_weight": 0.5,
    "word_score": 1.0,
    "nbest": 2,
    "hotwords": "acme,Quilter^5",
    "hotword_weight": 6.0,
    "vad": True,
    "language": "de",
    "task": "translate",
    "timestamps": True,
    "prompt": "names",
    "max_new_tokens": 10,
    "temperature_fallback": True,
}
VALUES = {"inputCol": "path", "outputCol": "speech"} | CONNECTION | DECODING


def method(kind: str, name: str) -> str:
    words = name.split("_")
    return kind + "".join(word[0].upper() + word[1:] for word in words)


def test_every_option_of_the_contract_is_a_param_of_its_name() -> None:
    assert set(DECODING) == {option.name for option in fields(DecodeOptions)}
    assert {param.name for param in TritonSpeechToText().params} == set(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_every_param_has_a_setter_and_a_getter(name: str) -> None:
    stt = TritonSpeechToText()
    assert getattr(stt, method("set", name))(VALUES[name]) is stt
    assert getattr(stt, method("get", name))() == VALUES[name]
    assert inspect.getdoc(getattr(TritonSpeechToText, method("set", name)))


def test_the_constructor_takes_every_param() -> None:
    stt = TritonSpeechToText(**VALUES)
    assert {param.name: stt.getOrDefault(param) for param in stt.params} == VALUES
    assert stt.setParams(model="other").getModel() == "other"


def test_the_settings_of_a_task_have_every_value() -> None:
    settings = TritonSpeechToText(**(VALUES | {"tlsCertFile": None, "tlsKeyFile": None})).settings()
    assert settings.options == DecodeOptions(**DECODING)
    assert (settings.urls, settings.protocol) == (("a:8001", "b:8001"), "http")


def test_by_default_the_server_chooses() -> None:
    settings = TritonSpeechToText(inputCol="path", urls="a:8001").settings()
    assert settings.options.parameters() == {}
    assert settings.urls == ("a:8001",)


def test_hotwords_may_be_a_list() -> None:
    assert TritonSpeechToText(hotwords=["acme", "Quilter^5"]).getHotwords() == "acme,Quilter^5"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("urls", [], "urls is []; needs a list of HOST:PORT"),
        ("urls", 8001, "urls is 8001; needs a list of HOST:PORT"),
        ("model", "", "model is ''; needs a name"),
        ("protocol", "ftp", "protocol is 'ftp'; needs one of grpc, http"),
        ("samplingRate", 1, "samplingRate is 1; needs a whole number from 4000 to 384000"),
        ("concurrency", 0, "concurrency is 0; needs a whole number from 1 to 1000"),
        ("timeoutS", -1, "timeoutS is -1; needs a number of seconds above 0"),
        ("failAfterS", "soon", "failAfterS is 'soon'; needs a number of seconds above 0"),
        ("decoder", "best", "decoder is 'best'; needs one of greedy, beam"),
        ("beam_width", 0, "beam_width is 0; needs a whole number from 1 to 1000"),
        ("hotwords", 1, "hotwords is int; needs a list of words"),
        ("word_timestamps", "perhaps", "word_timestamps is 'perhaps'; needs true or false"),
    ],
)
def test_a_value_that_is_not_valid(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TritonSpeechToText(**{name: value})


def test_an_unknown_param() -> None:
    with pytest.raises(TypeError, match="there is no Param 'beamWidth'; needs some of .*beam_width"):
        TritonSpeechToText(beamWidth=3)


def test_what_is_missing_is_named_before_a_job_begins() -> None:
    with pytest.raises(ValueError, match="inputCol is not set: call setInputCol"):
        TritonSpeechToText(urls=["a:8001"]).settings()
    with pytest.raises(ValueError, match="urls is not set: call setUrls"):
        TritonSpeechToText(inputCol="path").settings()


def test_an_address_that_is_none_is_refused_on_the_driver() -> None:
    with pytest.raises(InvalidOption, match="needs HOST:PORT without a scheme"):
        TritonSpeechToText(inputCol="path", urls=["http://a:8000"]).settings()


def test_there_is_no_summary_before_a_job() -> None:
    with pytest.raises(RuntimeError, match="there is no summary"):
        TritonSpeechToText().summary()


def run(code: str) -> str:
    """What a new Python prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_worker_needs_no_spark() -> None:
    code = "import sys, asr_spark.worker; print([name for name in sys.modules if name.startswith('pyspark')])"
    assert run(code) == "[]"


def test_a_task_does_not_import_machine_learning() -> None:
    assert run("import sys, asr_spark.task; print('pyspark.ml' in sys.modules)") == "False"


def test_without_pyspark_the_import_says_what_to_install() -> None:
    code = """
import sys
sys.modules["pyspark"] = None
try:
    from asr_spark import TritonSpeechToText
except ImportError as error:
    print(error)
"""
    assert "asr_spark.TritonSpeechToText needs the package pyspark" in run(code)
    assert "pip install 'triton-asr-kit[spark]'" in run(code)


def test_exported_members() -> None:
    import asr_spark

    assert asr_spark.__all__ == ["Summary", "TritonSpeechToText"]
    assert set(asr_spark.__all__) <= set(dir(asr_spark))
