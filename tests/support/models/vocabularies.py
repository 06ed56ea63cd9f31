"""Vocabularies of many kinds of tokenizer, for a checkpoint whose head has a column for each of ALPHABET."""

import shutil
from pathlib import Path

import tiny_checkpoints

LATIN = tiny_checkpoints.ALPHABET
# The blank last, and <unk> in the middle.
PORTUGUESE = ["|", "<unk>", *"abcdefghijlmnopqrstuvx", *"áâãçéêí", "<pad>"]
VOCABULARIES: dict[str, tuple[list[str], dict[str, object]]] = {
    "english": (LATIN, {}),
    "blank last, unk in the middle": ([label.lower() for label in PORTUGUESE], {}),
    "lower case written": (LATIN, {"do_lower_case": True}),
    "another delimiter": ([*LATIN[:4], "_", *LATIN[5:]], {"word_delimiter_token": "_"}),
    "space as delimiter": ([*LATIN[:4], " ", *LATIN[5:]], {"word_delimiter_token": " "}),
    "chinese, no delimiter": ([*LATIN[:4], *"一二三四五六七八九十百千万你好世界今天气很我们去学校"], {}),
    "spaces cleaned up": ([*LATIN[:5], *"?.!,smt", *LATIN[12:]], {"clean_up_tokenization_spaces": True}),
    "labels of several letters": ([*LATIN[:5], "ch", "sch", *LATIN[7:]], {}),
}


def with_vocabulary(checkpoint: Path, folder: Path, vocabulary: list[str], options: dict[str, object]) -> Path:
    """Copy a checkpoint to `folder`, there with a tokenizer of these labels in column order."""
    shutil.copytree(checkpoint, folder)
    for file in ("vocab.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (folder / file).unlink(missing_ok=True)
    tiny_checkpoints.write_tokenizer(folder, vocabulary, **options)
    return folder
