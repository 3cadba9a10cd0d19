"""Captions from a causal language model on this machine, by transformers."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal

from bench.core.config import Positive, WeightsText
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.core.missing import MissingError
from bench.core.model_names import fetchable, hub_id
from bench.core.paths import Home
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from bench.runtime.hub import fetching
from sources.captions.language_model import CausalModel
from sources.captions.plan import seed_of
from sources.captions.prompts import first_line, prompt_for, prompts_digest
from sources.captions.sampling import Sampling

_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.txt"]


@writers.register("transformers")
class Transformers:
    """A language model, shown three examples, writes the fourth line."""

    fixed = False

    class Options(Sampling, frozen=True, kw_only=True):
        """Which model, and how it is run."""

        model: WeightsText
        """A folder of safetensors, by fetched name or path, or a model of the Hugging Face Hub."""
        revision: str | None = None
        """A commit of the Hub's model; None for the one at hand."""
        download: bool = False
        """Whether a missing model may be downloaded from the Hub."""
        dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
        """Precision of the weights and of what is computed."""
        batch_size: Positive = 16
        """Captions written at once; changes speed, not seeds."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._model: CausalModel | None = None

    def config(self, home: Home) -> Json:
        """Return the model's fingerprint and how it is sampled."""
        names = ("temperature", "top_p", "max_tokens", "dtype")
        config: Json = {name: getattr(self._options, name) for name in names}
        weights = fingerprint(self._folder(home))
        return config | {"model": weights, "prompts": prompts_digest()}

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Write one caption per order, each sampled by its own seed."""
        if self._model is None:
            self._model = CausalModel(self._folder(brief.home), self._options.dtype)
        captions = []
        for start in range(0, len(orders), self._options.batch_size):
            batch = orders[start : start + self._options.batch_size]
            asked = [prompt_for(order, brief) for order in batch]
            prompts, seeds = [prompt for _, prompt, _ in asked], [seed_of(order) for order in batch]
            texts = self._model.complete(prompts, seeds, self._options)
            captions += [
                plan.caption(first_line(text), examples)
                for (plan, _, examples), text in zip(asked, texts, strict=True)
            ]
        return captions

    def _folder(self, home: Home) -> Path:
        name = self._options.model
        try:
            return home.find_weights(name)
        except MissingError:
            repository, revision = hub_id(name)
            revision = self._options.revision or revision
            return _from_hub(repository or name, revision, self._options.download)


@cache
def _from_hub(name: str, revision: str | None, download: bool) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    find = partial(snapshot_download, name, revision=revision, allow_patterns=_FILES)
    try:
        if not download:
            return Path(find(local_files_only=True))
        with fetching():
            return Path(find())
    except HFValidationError as error:
        raise MissingError(
            f"the language model {name!r} is not on this machine",
            "give a folder or ORG/NAME@REVISION",
        ) from error
    except (OSError, HfHubHTTPError, httpx2.HTTPError) as error:
        wanted = f"{name}@{revision}" if revision else name
        to_fetch = wanted if revision else f"{name}@REVISION"
        raise MissingError(
            f"the language model {wanted!r} is not on this machine",
            f"fetch it with `bench fetch --model {to_fetch}`, or give a folder",
            fetchable(wanted),
        ) from error
