"""Hotwords through a real Triton: what was misheard comes out right, and nobody else notices."""

import pytest
from asr_client import Client, DecodeOptions, InvalidRequest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
MISHEARD = ROOT / "demo" / "samples" / "stereo_opus.ogg"
SAID = "ROBERT WAS LAUGHING WITH OUR GOOD SINGER"


def test_a_word_that_was_misheard_comes_out_right(client: Client) -> None:
    plain = client.transcribe(MISHEARD)
    wished = client.transcribe(MISHEARD, options=DecodeOptions(hotwords="Singer, our, good"), word_timestamps=True)
    assert plain.text != SAID
    assert wished.text == SAID
    assert [word.word for word in wished.words] == SAID.split()


def test_neighbours_in_a_batch_have_their_own_hotwords(client: Client) -> None:
    wishes = ["", "singer, our, good", ",".join(["singer, our, good", *(f"nobody{letter * 3}" for letter in "abcdef")])]
    alone = [client.transcribe(MISHEARD, options=DecodeOptions(hotwords=wish)).text for wish in wishes]
    assert alone[1:] == [SAID, SAID]
    for wish, text in zip(wishes, alone, strict=True):
        outcomes = client.transcribe_many([MISHEARD] * 8, concurrency=8, options=DecodeOptions(hotwords=wish))
        assert [outcome.unwrap().text for outcome in outcomes] == [text] * 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DecodeOptions(hotwords="Zürich"), "hotword 'Zürich' has 'ü' that this model has no labels for"),
        (DecodeOptions(hotwords="acme^much"), "the weight of hotword 'acme' is 'much'; needs a number"),
        (DecodeOptions(hotwords="acme", hotword_weight=-1), "hotword_weight is -1"),
    ],
)
def test_what_cannot_be_listened_for_is_refused(client: Client, options: DecodeOptions, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        client.transcribe(MISHEARD, options=options)
