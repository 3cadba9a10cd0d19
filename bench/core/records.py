"""Records: what a run leaves. Immutable, and they survive a JSON round trip."""

from __future__ import annotations

from typing import Literal

from bench.core.config import Config
from bench.core.json_values import Json
from bench.core.specs import RunSpec

AtEpoch = Literal["chosen", "trained", "last"]
"""A scored epoch: the one that validation data chose, the best one after epoch 0, or the last.

They may be one and the same; without any training, all are epoch 0.
"""

WhichClasses = Literal["all", "seen", "unseen"]
"""Classes by whether any image of theirs was trained on."""

SEEN_AND_UNSEEN: tuple[WhichClasses, WhichClasses] = "seen", "unseen"

SchemaVersion = Literal[2]
"""What this program writes and reads; a record of another version is refused."""

TOO_FEW_IMAGES = "too few images"
"""The state of a run that asked for more images than there are: a hole that a study expects."""


class Score(Config, frozen=True, kw_only=True):
    """One number about one model on one split, with its test-sampling interval (95 %)."""

    evaluator: str
    split: str
    at_epoch: AtEpoch = "chosen"
    metric: str
    value: float
    n: int
    """Images the value was computed on."""
    ci_low: float
    ci_high: float
    classes: WhichClasses = "all"
    """Which classes' images the value was computed on; in a multi-label task, which classes' mean
    it is."""
    chosen: Json = {}
    """What was selected on validation data to get here (regularisation, epoch, …)."""
    trials: list[float] = []
    """The value of each trial, if an evaluator made several; the value is then their mean."""


class Counts(Config, frozen=True, kw_only=True):
    """How many images were left after each step of a run."""

    asked: int | None
    matched: int
    fetched: int
    kept: int
    used: int
    captions: int | None = None
    """Different captions of the images used; None where they have none, and in earlier records."""


class RunRecord(Config, frozen=True, kw_only=True):
    """What a run leaves behind: enough to plot it, to trust it and to repeat it."""

    schema_version: SchemaVersion = 2
    run_id: str
    status: Literal["done", "failed"]
    spec: RunSpec
    n: Counts
    image_set: str
    """Content hash of the images trained on."""
    positives: Literal["", "image", "caption", "class"] = ""
    """What images share that were positives of each other; empty for an objective that sees each by
    itself, and in earlier records."""
    empty_classes: list[str] = []
    """Classes without an image among those used."""
    task_notes: list[str] = []
    """What was assumed of the task's data, a line each."""
    scores: list[Score] = []
    scores_of_classes: list[Score] = []
    """Test scores apart for classes with and without images in training; empty where all had some,
    or nothing was trained on."""
    stage_counts: Json = {}
    """Images that each stage of the source kept, and reasons for the rest."""
    selection: Json = {}
    """What was chosen on validation data, from which candidates, with their scores."""
    timings: dict[str, float] = {}
    """Seconds per step of the run."""
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    processes: int = 1
    """Number of processes that executed the run together."""
    device: str = ""
    weights: str = ""
    """SHA-256 of the weights that were adapted."""
    details: Json = {}
    """Evaluator to its details on the test split, beyond the scores."""
    fidelity: Json = {}
    """The generator's measured fidelity, where one is shipped with its weights."""
    versions: dict[str, str] = {}
    git: Json = {}
    error: str = ""
    too_few_images: bool = False
    """Whether it failed because it asked for more images than there are."""
    started: str = ""
    finished: str = ""

    @property
    def state(self) -> str:
        """Its status, or `TOO_FEW_IMAGES`."""
        return TOO_FEW_IMAGES if self.too_few_images else self.status

    @property
    def scored_by(self) -> frozenset[str]:
        """Names that its scores have: evaluators, or parts of them."""
        return frozenset(score.evaluator for score in self.scores)

    def scores_at(self, at_epoch: AtEpoch) -> list[Score]:
        """Return the scores of one of the scored epochs."""
        return [score for score in self.scores if score.at_epoch == at_epoch]
