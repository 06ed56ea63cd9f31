"""Beam search with the demo's language model through a real Triton."""

import pytest
from asr_client import Client, DecodeOptions, InvalidRequest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
MISHEARD = ROOT / "demo" / "samples" / "stereo_opus.ogg"
SAID = "ROBERT WAS LAUGHING WITH OUR GOOD SINGER"


def test_the_language_model_mends_what_greedy_misheard(client: Client) -> None:
    greedy = client.transcribe(MISHEARD)
    without = client.transcribe(MISHEARD, options=DecodeOptions(decoder="beam", lm_weight=0))
    with_it = client.transcribe(MISHEARD, options=DecodeOptions(decoder="beam", nbest=3), word_timestamps=True)
    assert greedy.text != SAID
    assert without.text != SAID
    assert with_it.text == SAID
    assert [word.word for word in with_it.words] == SAID.split()
    assert [a.end <= b.start for a, b in zip(with_it.words, with_it.words[1:], strict=False)] == [True] * 6
    assert len(with_it.alternatives) == 3


def test_hotwords_bring_words_that_the_language_model_does_not_know(client: Client) -> None:
    options = DecodeOptions(decoder="beam", hotwords="singar")
    assert client.transcribe(MISHEARD, options=options).text == SAID.replace("SINGER", "SINGAR")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DecodeOptions(lm_weight=1), "lm_weight given with decoder=greedy; needs decoder=beam"),
        (DecodeOptions(decoder="beam", lm_weight=11), "lm_weight is 11; needs a number from 0 to 10"),
        (DecodeOptions(decoder="beam", word_score=1000), "word_score is 1000; needs a number from -100 to 100"),
    ],
)
def test_options_that_make_no_sense(client: Client, options: DecodeOptions, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        client.transcribe(MISHEARD, options=options)
