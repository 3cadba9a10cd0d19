"""A causal language model that samples each row of a batch by that row's own seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from bench.core.errors import RequestError
from sources.captions.sampling import Sampling

if TYPE_CHECKING:
    import torch

_UNFIT = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
"""What loading a folder ends in that is cut short, mixed up or malformed."""


class CausalModel:
    """A model and its tokenizer, loaded once.

    Args:
        folder: What transformers wrote: safetensors, configuration and tokenizer.
        dtype: fp32, fp16 or bf16.

    Raises:
        RequestError: If the folder holds no such model.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch

        self._folder = folder
        self._tokenizer, model = _load(folder, dtype)
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        # A caption ends with its line: every token that has a line's end in it ends it.
        tokens = [[token] for token in range(model.config.get_text_config().vocab_size)]
        pieces = self._tokenizer.batch_decode(tokens)
        self._ends = torch.tensor(["\n" in piece for piece in pieces], device=self._model.device)

    def complete(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling
    ) -> list[str]:
        """Continue each prompt to the end of its line.

        A row's samples depend on its seed alone. Its probabilities are those of a batch of one up
        to rounding, which a batch of another size may do otherwise.

        Raises:
            RequestError: If the model cannot read so much.
        """
        import torch

        inputs = self._tokenizer(list(prompts), return_tensors="pt", padding=True)
        length = inputs["input_ids"].shape[1]
        self._check_length(length + sampling.max_tokens)
        with torch.inference_mode():
            output = self._model.generate(
                **inputs.to(self._model.device),
                generation_config=self._generation(sampling.max_tokens),
                logits_processor=[PerRowSampling(seeds, sampling)],
                stopping_criteria=[self._ended],
            )
        texts: list[str] = self._tokenizer.batch_decode(
            output[:, length:], skip_special_tokens=True
        )
        return texts

    def _generation(self, max_tokens: int) -> Any:  # noqa: ANN401 (a GenerationConfig)
        from transformers import GenerationConfig

        # Not the model's own, which may add to the paper's sampling. `PerRowSampling` leaves one
        # token a row, so that the search for the best one finds the sampled one.
        return GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.pad_token_id,
            eos_token_id=self._tokenizer.eos_token_id,
        )

    def _ended(self, tokens: "torch.Tensor", _: object, **__: object) -> "torch.Tensor":
        return self._ends[tokens[:, -1]]

    def _check_length(self, needed: int) -> None:
        reads = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if reads is not None and needed > reads:
            raise RequestError(
                f"{self._folder} reads {reads} tokens; a prompt and its caption have {needed}",
                "choose another model, or lower source.captions.options.max_tokens",
            )


class PerRowSampling:
    """Temperature and nucleus sampling, a generator for each row; rules out all other tokens.

    Args:
        seeds: One a row.
        sampling: Temperature and the mass of the nucleus.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling) -> None:
        import torch

        # On the CPU: the same numbers on any device.
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._sampling = sampling

    def __call__(self, _: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return scores that leave one token a row."""
        import torch

        uniform = torch.stack(
            [torch.rand(1, generator=generator) for generator in self._generators]
        )
        logits = scores.float() / self._sampling.temperature
        mass, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
        # The most probable tokens that together have the nucleus's mass; the first is always one.
        inside = mass.cumsum(dim=-1) - mass < self._sampling.top_p
        reached = (mass * inside).cumsum(dim=-1)
        wanted = uniform.to(scores.device) * reached[:, -1:]
        last = inside.sum(dim=-1, keepdim=True) - 1
        place = torch.searchsorted(reached, wanted, right=True).minimum(last)
        sampled = order.gather(-1, place)
        return torch.full_like(scores, -torch.inf).scatter(-1, sampled, 0.0)


def _load(folder: Path, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **local)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=kinds[dtype], use_safetensors=True, output_loading_info=True, **local
        )
        if report["missing_keys"]:  # They would be random, and nobody would know.
            raise ValueError(f"{len(report['missing_keys'])} of its weights are missing")
    except _UNFIT as error:
        raise RequestError(
            f"the language model {folder} does not load: {error}",
            "give a folder that transformers wrote, its weights as safetensors",
        ) from error
    if tokenizer.pad_token is None:
        # Padding is masked, so that any token serves.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer, model
