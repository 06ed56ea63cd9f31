"""Tokenizers whose labels are pieces of words, each of the kind that its family has, and of a given size."""

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, Unigram
from transformers import LasrTokenizer, ParakeetTokenizer

_LETTERS = "ETAONIHSRDLUMWCFGYPBV"


def _sentence_pieces(pieces: list[str], **special: str) -> ParakeetTokenizer:
    tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=pieces.index("<unk>")))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return ParakeetTokenizer(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", **special)


def write_parakeet(folder: Path, size: int) -> None:
    """SentencePiece, the blank last."""
    pieces = ["<unk>", "▁", "'", *"ETAONIHS", *(f"▁{letter}" for letter in "TAOSWCBPÉ"), *"RDLUMing", "é", "er", "ß"]
    fast = _sentence_pieces(pieces)
    assert fast.pad_token_id == size - 1
    fast.save_pretrained(folder)


def write_omniasr(folder: Path, size: int) -> None:
    """SentencePiece of characters; the blank is the begin of a sentence, not the padding."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *_LETTERS, "é", "ß", "ü", "'", "-", "."]
    assert len(pieces) == size
    _sentence_pieces(pieces, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def write_lasr(folder: Path, size: int) -> None:
    """SentencePiece with an end of sentence and sentinels, which no transcript shows."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"ETAONIHS", *(f"▁{letter}" for letter in "TAOSWCBP"), *"RDLUM", "é", "er"]
    pieces += ["{", "period", "}"]
    sentinels = [f"<extra_id_{index}>" for index in reversed(range(size - len(pieces)))]
    vocabulary = [(piece, -1.0) for piece in [*pieces, *sentinels]]
    LasrTokenizer(vocab=vocabulary, extra_ids=len(sentinels)).save_pretrained(folder)


def write_granite_speech5(folder: Path, size: int) -> None:
    """A byte-level BPE: each "é" is one piece, each "ß" is two of a byte each."""
    pieces = ["<|blank|>", "Ġ", *"ETAONIHSRD", *(f"Ġ{letter}" for letter in "TAOSWCBP"), "ing", "Ġer", "Ã©", "Ã", "Ł"]
    pieces += ["ĠÃ©", "'", ".", "Ġ.", "L", "U", "M"]
    assert len(pieces) == size
    tokenizer = Tokenizer(BPE({piece: column for column, piece in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    ParakeetTokenizer(tokenizer_object=tokenizer, pad_token="<|blank|>").save_pretrained(folder)


# By `model_type`.
WRITERS: dict[str, Callable[[Path, int], None]] = {
    "parakeet_ctc": write_parakeet,
    "omniasr_ctc": write_omniasr,
    "lasr_ctc": write_lasr,
    "granite_speech5_ctc": write_granite_speech5,
}
