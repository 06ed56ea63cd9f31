"""The tensors of the service: name and Triton data type. Each holds one element per request, wire shape [1, 1]."""

from dataclasses import dataclass

AUDIO = "AUDIO"
TRANSCRIPT = "TRANSCRIPT"
CONFIDENCE = "CONFIDENCE"
DURATION = "DURATION"
WORDS = "WORDS"
ALTERNATIVES = "ALTERNATIVES"
LANGUAGE = "LANGUAGE"
SEGMENTS = "SEGMENTS"
PARTIAL = "PARTIAL"
STABLE = "STABLE"
FINALS = "FINALS"
START = "START"


@dataclass(frozen=True)
class Output:
    """One output tensor of an ensemble."""

    name: str
    datatype: str  # Triton's name of the type
    meaning: str
    optional: bool = False  # only some kinds, or versions, of models have it


INPUTS = {AUDIO: "BYTES"}  # an audio file, or raw samples (see `parameters.AudioOptions`)
OUTPUTS = (
    Output(TRANSCRIPT, "BYTES", "UTF-8 text"),
    Output(CONFIDENCE, "FP32", "0 to 1, mean posterior of the labels that were emitted"),
    Output(DURATION, "FP32", "seconds of audio that were heard"),
    Output(WORDS, "BYTES", 'JSON: [{"word", "start", "end", "confidence"}], times in seconds'),
    Output(LANGUAGE, "BYTES", "code of the language, of models that know several", optional=True),
    Output(ALTERNATIVES, "BYTES", 'JSON: [{"text", "score"}] of beam search', optional=True),
    Output(
        SEGMENTS,
        "BYTES",
        'JSON: [{"text", "start", "end", "confidence", "avg_logprob", "compression_ratio", "no_speech_prob", '
        '"temperature"}] of a Whisper',
        optional=True,
    ),
)
STREAM_OUTPUTS = (
    Output(PARTIAL, "BYTES", "UTF-8 text of the segment that is being said"),
    Output(STABLE, "INT32", "characters of PARTIAL that belong to complete words"),
    Output(FINALS, "BYTES", 'JSON: [{"text", "start", "end", "confidence", "words"}] of the segments that ended'),
    Output(DURATION, "FP32", "seconds of audio received"),
    # Optional: exports of earlier versions of the kit lack it.
    Output(START, "FP32", "seconds at which the speech of PARTIAL began; below 0: nobody speaks", optional=True),
)
