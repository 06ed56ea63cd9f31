"""A checkpoint's tokenizer -> the labels, which give the columns of the log-probs their meaning in the decode step."""

from typing import Any

from asr_contract.labels import WORD_START, Labels
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Wav2Vec2PhonemeCTCTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import UnsupportedCheckpoint

_FOR_BPE = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"


def read_labels(checkpoint: Checkpoint) -> Labels:
    """Return the labels, the blank and the word delimiter of a checkpoint.

    Raises:
        UnsupportedCheckpoint: the tokenizer has no blank, or its vocabulary does not fit the columns of the model's
            head.
    """
    tokenizer, geometry = checkpoint.tokenizer, checkpoint.geometry
    name = checkpoint.source.name
    size = checkpoint.columns
    columns = {column: token for token, column in tokenizer.get_vocab().items()}
    strange = [column for column in columns if not isinstance(column, int)]
    if strange:
        raise UnsupportedCheckpoint(
            f"{name}: the tokenizer's vocabulary has {strange[0]!r} as the column of {columns[strange[0]]!r}; "
            "needs whole numbers"
        )
    blank = _blank(checkpoint, size)
    own = getattr(tokenizer, "encoder", columns)
    if len(own) > size:
        raise UnsupportedCheckpoint(f"{name}: the tokenizer has {len(own)} labels, the model only {size} columns")
    delimiter_token = getattr(tokenizer, "word_delimiter_token", None) or "|"
    by_token = {token: column for column, token in columns.items() if column < size}
    written = _characters(tokenizer, columns)
    # transformers writes the unknown token for a column that the tokenizer does not know.
    labels = [written.get(column, tokenizer.unk_token or "") for column in range(size)]
    phonemes = isinstance(tokenizer, Wav2Vec2PhonemeCTCTokenizer)
    if phonemes:  # the tokenizer writes each phoneme like a word, and does not write the word delimiter
        labels = ["" if label == tokenizer.word_delimiter_token else WORD_START + label for label in labels]
    if checkpoint.family.skips_special_tokens:
        skipped = set(tokenizer.all_special_ids)
        labels = ["" if column in skipped or column not in columns else labels[column] for column in range(size)]
    # A tokenizer of word pieces marks the beginnings of words; it has no delimiter.
    pieces = isinstance(tokenizer, PreTrainedTokenizerFast) and any(WORD_START in label for label in labels)
    return Labels(
        labels=labels,
        blank=blank,
        delimiter=None if pieces or phonemes else by_token.get(delimiter_token, by_token.get(" ")),
        lowercase=bool(getattr(tokenizer, "do_lower_case", False)),
        clean_up_spaces=cleans_up_spaces(tokenizer),
        sampling_rate=checkpoint.feature_extractor.sampling_rate,
        stride_samples=geometry.stride,
        receptive_field_samples=geometry.receptive_field,
        word_start=WORD_START if pieces or phonemes else None,
    )


def _characters(tokenizer: Any, columns: dict[int, str]) -> dict[int, str]:
    """Return the vocabulary with the characters that a byte-level BPE (as GPT-2 has it) writes with one for each byte.

    A space becomes the mark of a word's beginning, as in SentencePiece.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.decoder, ByteLevel):
        return columns
    bytes_written: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
    byte_of = {character: byte for byte, character in bytes_written.items()}
    added = tokenizer.get_added_vocab()
    return {
        column: token
        if token in added or not byte_of.keys() >= set(token)
        else bytes(byte_of[character] for character in token)
        .decode("utf-8", "surrogateescape")
        .replace(" ", WORD_START)
        for column, token in columns.items()
    }


def _blank(checkpoint: Checkpoint, size: int) -> int:
    """Return the column of the CTC blank: the one that the config names, and otherwise the tokenizer's padding."""
    tokenizer, config = checkpoint.tokenizer, checkpoint.config
    named = getattr(config, "blank_token_id", None)
    blank = tokenizer.pad_token_id if named is None else named
    if isinstance(blank, int) and 0 <= blank < size:
        return blank
    owner = f"the tokenizer's padding token, which is the CTC blank, is {tokenizer.pad_token!r}"
    raise UnsupportedCheckpoint(
        f"{checkpoint.source.name}: {owner if named is None else 'config.json names the CTC blank'} (column {blank}); "
        f"needs one of the model's {size} columns"
    )


def cleans_up_spaces(tokenizer: Any) -> bool:
    """Return whether transformers removes spaces before punctuation: by BPE tokenizers only under a second setting."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and isinstance(backend.model, BPE) and not getattr(tokenizer, _FOR_BPE, False):
        return False
    return bool(tokenizer.clean_up_tokenization_spaces)
