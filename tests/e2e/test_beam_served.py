"""Beam search through a real Triton."""

import pytest
from asr_client import Client, DecodeOptions, InvalidRequest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
RECORDING = ROOT / "demo" / "samples" / "quilter.wav"


def test_beam_search_gives_alternatives(client: Client) -> None:
    answer = client.transcribe(
        RECORDING, options=DecodeOptions(decoder="beam", nbest=4, lm_weight=0), word_timestamps=True
    )
    greedy = client.transcribe(RECORDING, word_timestamps=True)
    assert answer.text == greedy.text
    assert [word.word for word in answer.words] == [word.word for word in greedy.words]
    scores = [alternative.score for alternative in answer.alternatives]
    assert len({alternative.text for alternative in answer.alternatives}) == 4
    assert answer.alternatives[0].text == answer.text
    assert scores == sorted(scores, reverse=True)
    assert greedy.alternatives == ()


def test_beam_search_and_hotwords_go_together(client: Client) -> None:
    recording = ROOT / "demo" / "samples" / "stereo_opus.ogg"
    options = DecodeOptions(decoder="beam", beam_width=8, lm_weight=0, hotwords="singer, our, good")
    assert client.transcribe(recording, options=options).text == "ROBERT WAS LAUGHING WITH OUR GOOD SINGER"


def test_its_options_belong_to_beam_search(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="nbest given with decoder=greedy; needs decoder=beam"):
        client.transcribe(RECORDING, options=DecodeOptions(nbest=3))
