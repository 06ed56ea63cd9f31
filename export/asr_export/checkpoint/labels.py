"""A checkpoint's tokenizer -> `labels.json`, which tells the decode step what the columns of the log-probs mean."""

from asr_contract.labels import WORD_START, Labels
from transformers import PreTrainedTokenizerFast, Wav2Vec2PhonemeCTCTokenizer

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import UnsupportedCheckpoint


def read_labels(checkpoint: Checkpoint) -> Labels:
    """Labels, blank and word delimiter of a checkpoint.

    Raises:
        UnsupportedCheckpoint: the tokenizer has no blank, or a vocabulary that the model's head has no columns for.
    """
    tokenizer, geometry = checkpoint.tokenizer, checkpoint.geometry
    name = checkpoint.source.name
    size = getattr(checkpoint.model, checkpoint.family.head).weight.shape[0]
    columns = {column: token for token, column in tokenizer.get_vocab().items()}
    strange = [column for column in columns if not isinstance(column, int)]
    if strange:
        raise UnsupportedCheckpoint(
            f"{name}: the tokenizer's vocabulary has {strange[0]!r} as the column of {columns[strange[0]]!r}; "
            "needs whole numbers"
        )
    blank = tokenizer.pad_token_id
    if blank is None or not 0 <= blank < size:
        raise UnsupportedCheckpoint(
            f"{name}: the tokenizer's padding token, which is the CTC blank, is {tokenizer.pad_token!r} "
            f"(column {blank}); needs one of the model's {size} columns"
        )
    own = getattr(tokenizer, "encoder", columns)
    if len(own) > size:
        raise UnsupportedCheckpoint(f"{name}: the tokenizer has {len(own)} labels, the model only {size} columns")
    delimiter_token = getattr(tokenizer, "word_delimiter_token", None) or "|"
    by_token = {token: column for column, token in columns.items() if column < size}
    # transformers writes a column that the tokenizer does not know as its unknown token.
    labels = [columns.get(column, tokenizer.unk_token or "") for column in range(size)]
    phonemes = isinstance(tokenizer, Wav2Vec2PhonemeCTCTokenizer)
    if phonemes:  # each is written like a word, and what would separate words is not written
        labels = ["" if label == tokenizer.word_delimiter_token else WORD_START + label for label in labels]
    # A tokenizer of pieces marks the beginnings of words instead of separating them.
    pieces = isinstance(tokenizer, PreTrainedTokenizerFast) and any(WORD_START in token for token in by_token)
    return Labels(
        labels=labels,
        blank=blank,
        delimiter=None if pieces or phonemes else by_token.get(delimiter_token, by_token.get(" ")),
        lowercase=bool(getattr(tokenizer, "do_lower_case", False)),
        clean_up_spaces=bool(tokenizer.clean_up_tokenization_spaces),
        sampling_rate=checkpoint.feature_extractor.sampling_rate,
        stride_samples=geometry.stride,
        receptive_field_samples=geometry.receptive_field,
        word_start=WORD_START if pieces or phonemes else None,
    )
