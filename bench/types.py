"""The nouns of the harness: what a user declares (specs) and what a run makes (records).

Everything here is immutable and survives a JSON round trip; the protocols at the end say what a
source and an objective must offer; `bench.captions` and `bench.evaluation` have the others.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from PIL.Image import Image

    from bench.manifest import ImageSet
    from bench.paths import Home
    from bench.progress import Progress

Json = dict[str, Any]
FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]


Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
AboveZero = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Momentum = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything a user may write: immutable, keyword-only, unknown keys refused."""


def canonical_json(value: object) -> bytes:
    """Return the one JSON spelling of a value: sorted keys, no spaces."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: object, length: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:length]


# ---------------------------------------------------------------- specs: what a user declares


class TrainSpec(Declared, frozen=True, kw_only=True):
    """How the image tower is adapted; the defaults are the paper's (002, appendix B.2)."""

    epochs: Natural = 30
    """Passes over the n images (002, section 4)."""
    steps: Positive | None = None
    """Optimiser steps; replaces passes over the images, so that all n get the same number of steps.
    `epochs` then says into how many parts, each judged as an epoch, they are cut."""
    batch_size: Positive = 512
    """Images in one optimiser step; kept when memory is short, by accumulation."""
    sampling: Literal["uniform", "balanced"] = "uniform"
    """Whether an epoch takes each image once, or as many images from each class."""
    lr: AboveZero = 1e-5
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    weight_decay: Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)] = 0.1
    decay_norm_and_bias: bool = True
    """The authors' code decays every parameter."""
    warmup_steps: Natural = 500
    warmup_fraction: Fraction | None = None
    """Warm-up as a fraction of all steps; replaces `warmup_steps`, which never ends at small n."""
    clip_norm: AboveZero = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    head_init: Literal["text", "random"] = "text"
    freeze_tower: bool = False
    select_by: str = "linear-probe"
    """The evaluator whose validation score picks the epoch, epoch 0 (no change) included."""

    # How it is carried out; the result is the same up to rounding.
    micro_batch: Positive | None = None
    """Images in one forward pass of a process; None for its whole part of the batch."""
    workers: Natural = 0
    """Processes that decode images; 0 decodes in the training process."""
    nodes: Positive = 1
    """Machines that train together."""
    gpus_per_node: Positive = 1
    """Training processes on each of them: one for each GPU, if it has any."""

    @property
    def processes(self) -> int:
        """Processes that carry out the training; 1 leaves their number to whoever starts it."""
        return self.nodes * self.gpus_per_node


HOW = ("micro_batch", "workers", "nodes", "gpus_per_node")
"""What of a `TrainSpec` does not make another run."""


class RunSpec(Declared, frozen=True, kw_only=True):
    """One run: everything that determines its result."""

    preset: str
    task: str
    source: str
    options: Json
    """The source's options, defaults filled in."""
    n: int | None
    """Images to train on; None for all the source has."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    order: Literal["random", "balanced"] = "random"
    """How the first n images are taken: uniformly, or class by class in turn."""
    model: str
    """Name or path of the open_clip weights folder that is adapted."""
    objective: str = "ce"
    train: TrainSpec = TrainSpec()
    evaluators: dict[str, Json] = {}
    """Evaluator name to its options."""
    pins: dict[str, str] = {}
    """Fingerprints of everything outside that the result depends on: weights, pool, task."""

    @property
    def run_id(self) -> str:
        """Short hash of all that determines the result; equal ones are one run."""
        content = msgspec.to_builtins(self)
        for name in HOW:
            del content["train"][name]
        return digest(content)


# ---------------------------------------------------------------- records: what a run made


class Score(Declared, frozen=True, kw_only=True):
    """One number about one model on one split, with its test-sampling interval (95 %)."""

    evaluator: str
    split: str
    metric: str
    value: float
    n: int
    """Images the value was computed on."""
    ci_low: float
    ci_high: float
    chosen: Json = {}
    """What was selected on validation data to get here (regularisation, epoch, …)."""
    draws: list[float] = []
    """The value of each draw, where an evaluator made several; the value is then their mean."""


class Counts(Declared, frozen=True, kw_only=True):
    """How many images were left after each step of a run."""

    asked: int | None
    matched: int
    fetched: int
    kept: int
    used: int


class RunRecord(Declared, frozen=True, kw_only=True):
    """What a run leaves behind: enough to plot it, to trust it and to repeat it."""

    schema_version: int = 1
    run_id: str
    status: Literal["done", "failed"]
    spec: RunSpec
    n: Counts
    image_set: str
    """Content hash of the images trained on."""
    scores: list[Score] = []
    yields: Json = {}
    """What each stage of the source kept, and why it dropped the rest."""
    selection: Json = {}
    """What was chosen on validation data, from which candidates, with their scores."""
    timings: dict[str, float] = {}
    """Seconds per step of the run."""
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    processes: int = 1
    """How many carried the run out together."""
    device: str = ""
    weights: str = ""
    """SHA-256 of the weights that were adapted."""
    details: Json = {}
    """Evaluator to what it says of the test split beyond its scores."""
    fidelity: Json = {}
    """The generator's measured fidelity, where one is shipped with its weights."""
    versions: dict[str, str] = {}
    git: Json = {}
    error: str = ""
    started: str = ""
    finished: str = ""


SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The labelled images of one split; images are opened one at a time.

    Attributes:
        name: ``train``, ``val``, ``test`` or a shifted split's.
        keys: One unique name per image.
        labels: Class indices, int64 ``[n]``.
        read: Returns the image at an index.
    """

    name: str
    keys: Sequence[str]
    labels: LabelArray
    read: Callable[[int], Image]

    def __len__(self) -> int:
        return len(self.keys)

    def images(self) -> Iterator[Image]:
        """Yield every image in order."""
        return (self.read(index) for index in range(len(self)))


class Query(Declared, frozen=True, kw_only=True):
    """What a caption must say to name a class: one of `any`, and all of `with`."""

    any: tuple[str, ...]
    """Spellings and synonyms."""
    with_: tuple[str, ...] = msgspec.field(default=(), name="with")
    """Further texts, for a name that alone says too little: flower, for the class rose."""


Queries = dict[str, str | tuple[str, ...] | Query]
"""Class name to its caption query; a text or a list of texts stands for a query without `with`."""


class Task(Declared, frozen=True, kw_only=True):
    """A classification task given by its class names; subclasses say where its images are."""

    name: str
    version: int
    """Raised whenever names, prompts, splits or metric change."""
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    """Prompts with one ``{}`` for the class name; ensembled for the zero-shot head."""
    domain_texts: tuple[str, ...]
    """Texts for the whole domain, for the threshold filter (002, section 3)."""
    queries: Queries = {}
    """Class name to its caption query, where the two differ."""
    noun: str = "object"
    """What all classes are, e.g. ``car``; picks the backgrounds of written captions."""
    metric: Literal["accuracy", "mean-per-class"] = "accuracy"
    split_sizes: dict[str, int] = {}
    """Images per split, asserted whenever a split is opened."""

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1.0 / len(self.class_names)

    @property
    def pin(self) -> str:
        """What stands for the names, the prompts and the images: two tasks with one pin agree."""
        return f"{self.name}@{self.version}-{digest(self, 8)}"

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the splits besides train, val and test: test images of another kind."""
        return tuple(name for name in self.split_sizes if name not in SPLITS)

    def query(self, class_name: str) -> Query:
        """Return what to look for in captions: the class name, where nothing else is declared."""
        query = self.queries.get(class_name, class_name)
        if isinstance(query, Query):
            return query
        return Query(any=(query,) if isinstance(query, str) else query)

    def prompts(self, class_name: str) -> list[str]:
        """Return every template filled in with one class name."""
        return [template.format(class_name) for template in self.templates]

    def check(self, home: Home) -> None:
        """Make sure that the task's data is there.

        Raises:
            RequestError: If it is not, with the remedy.
        """

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split; subclasses implement it, callers use `split`."""
        raise NotImplementedError

    def split(self, name: str, home: Home) -> Split:
        """Open a split and make sure it is the one the task declares.

        Raises:
            BenchError: If it has another number of images or a label out of range.
        """
        from bench.errors import BenchError

        split = self.open_split(name, home)
        expected = self.split_sizes.get(name)
        if expected is not None and len(split) != expected:
            raise BenchError(
                f"task {self.name}: split {name} has {len(split)} images, not {expected}",
                "the data on disk is not the published split; fetch it again",
            )
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.class_names):
            raise BenchError(f"task {self.name}: split {name} has labels outside its classes")
        return split


class Embedder(Protocol):
    """An image-text model that maps both into one space, rows L2-normalised."""

    weights_hash: str
    dim: int

    def images(self, images: Iterable[Image]) -> FloatArray:
        """Embed images, float32 ``[n, dim]``."""

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts, float32 ``[n, dim]``."""


@dataclass(frozen=True)
class Context:
    """What a source is given besides its options.

    Attributes:
        home: Where everything is kept.
        task: The task to find images for.
        n: Images wanted; None for all there are.
        seed: The run's seed.
        embedder: Loads the image-text model in a weights folder.
        progress: Where to report.
        scope: Which part of the work to do (an array task does some of it).
    """

    home: Home
    task: Task
    n: int | None
    seed: int
    embedder: Callable[[str], Embedder]
    progress: Progress
    scope: Scope = EVERYTHING

    def wanting(self, n: int | None) -> Context:
        """Return this context for another number of images."""
        return replace(self, n=n)


class Source(Protocol):
    """Where adaptation images come from: one file in ``sources/``, one class."""

    @property
    def Options(self) -> type[Any]:  # noqa: N802 (a class nested in the plug-in's class)
        """The declaration of its options."""

    def __init__(self, options: Any) -> None:  # noqa: ANN401 (an instance of Options)
        """Take the options; raise RequestError if they contradict each other."""

    def pins(self, home: Home) -> dict[str, str]:
        """Return fingerprints of everything outside that the images depend on.

        Raises:
            RequestError: If any of it is absent, with the remedy; no work has been done.
        """

    def collect(self, context: Context) -> ImageSet:
        """Return the images; at least ``context.n`` of them where that many exist."""


@runtime_checkable
class Estimates(Protocol):
    """A source that can say what it will cost; others need not have the method."""

    def estimate(self, context: Context) -> Json:
        """Return the amounts of work, time and disk by name; nothing is written."""


class Objective(Protocol):
    """What adaptation minimises: one file in ``adapt/objectives/``, one class."""

    def loss(self, model: Any, images: Any, labels: Any) -> Any:  # noqa: ANN401 (torch stays out)
        """Return the scalar loss of one batch.

        Args:
            model: An `adapt.models.Classifier`.
            images: Normalised images, float ``[b, 3, h, w]``.
            labels: Class indices, int64 ``[b]``.
        """
