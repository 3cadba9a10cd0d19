"""The text tokenizer of the miniature world: a lower-case, byte-level BPE of 1,000 entries.

Bytes are its smallest pieces, so it reads any text. The end marker has the highest id because
open_clip's text tower pools at the position of the largest id.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from bench.core.arrays import LabelArray

VOCABULARY = 1_000
CONTEXT = 16
"""Tokens of a text, both markers included; 99 % of the pool's captions fit."""
PAD, START, END = "<pad>", "<bos>", "<eos>"
FILES = ("tokenizer.json", "tokenizer_config.json")


def train_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Learn the merges from texts and write the two tokenizer files into a folder.

    Args:
        texts: What the tokenizer should be good at; nothing in it limits what it can read.
        folder: An existing folder for `tokenizer.json` and `tokenizer_config.json`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - 1,
        special_tokens=[PAD, START],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END])
    # A post-processor, unlike appended text, makes truncation leave room for the markers.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(marker, tokenizer.token_to_id(marker)) for marker in (START, END)],
    )
    tokenizer.save(str(folder / FILES[0]))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "bos_token": START,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / FILES[1]).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder, set to give exactly `CONTEXT` tokens per text."""
    tokenizer = Tokenizer.from_file(str(folder / FILES[0]))
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(length=CONTEXT, pad_id=tokenizer.token_to_id(PAD), pad_token=PAD)
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> LabelArray:
    """Return the token ids of texts.

    Returns:
        int64 [texts, CONTEXT].
    """
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    return np.array(rows, dtype=np.int64).reshape(len(rows), CONTEXT)
