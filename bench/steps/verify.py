"""Measure unadapted models where somebody has published a figure, and compare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.core.errors import BenchError, RequestError
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.specs import RunSpec, TrainSpec
from bench.core.undamaged_weights import check_undamaged
from bench.core.weights_folder import is_image_only
from bench.plugins import evaluator_of, evaluators, full_options, sources
from bench.runtime import threads
from bench.steps import loaded
from bench.steps.figures import Figure
from bench.steps.prepare import OF_TEXTS, Prepared, prepared

if TYPE_CHECKING:
    from eval.features.model_features import ModelFeatures

ROUNDING = 1e-9
"""Percentage points by which a difference of two decimal numbers may be off."""


@dataclass(frozen=True)
class Outcome:
    """What became of one figure.

    Attributes:
        figure: The published figure.
        percent: The value measured here; None if it was not.
        why_not: Why it was not measured; empty if it was.
        fix: What to do about that.
        absent: Whether it was not measured because something is not here.
    """

    figure: Figure
    percent: float | None = None
    why_not: str = ""
    fix: str = ""
    absent: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the value was measured and is within the tolerance."""
        if self.percent is None:
            return False
        return abs(self.percent - self.figure.percent) <= self.figure.tolerance + ROUNDING


def verify(figures: Sequence[Figure], home: Home) -> Iterator[Outcome]:
    """Yield what becomes of each figure, those of one model and task together.

    Nothing is taken from a cache, and nothing is kept.

    Raises:
        RequestError: If a figure is wrong as requested, or none can be measured because of what is
            not here; before any work.
    """
    runs = prepared([_spec(figure, home) for figure in figures], home)
    for run, figure in zip(runs, figures, strict=True):
        _check_metric(run.spec, figure)
    if all(run.absences for run in runs):
        raise _nothing_is_here(runs)
    groups: dict[tuple[str, str], list[tuple[Figure, Prepared]]] = {}
    for figure, run in zip(figures, runs, strict=True):
        groups.setdefault((run.spec.model, run.spec.task), []).append((figure, run))
    for group in groups.values():
        yield from _outcomes(group, home)


def _nothing_is_here(runs: Sequence[Prepared]) -> RequestError:
    absences = {what: absence for run in runs for what, absence in run.absences.items()}
    fixes = [
        f"`{absence.fetchable.command}`" if absence.fetchable else absence.fix
        for absence in absences.values()
    ]
    return RequestError(
        f"no figure can be measured: {'; '.join(absences)}",
        f"to get some of them, or to be told how: {', '.join(dict.fromkeys(fixes))}",
    )


def _spec(figure: Figure, home: Home) -> RunSpec:
    """Return the run whose unadapted model is the figure's.

    Raises:
        RequestError: If its evaluator asks an image encoder for texts, or has no such option.
    """
    head: Literal["text", "random"] = "random" if _knows_no_texts(figure, home) else "text"
    if head == "random" and figure.evaluator in OF_TEXTS:
        raise RequestError(
            f"the model {figure.model} has no text tower, which the evaluator "
            f"{figure.evaluator} needs",
            "give it another evaluator, such as linear-probe or knn",
        )
    options = full_options(evaluators, figure.evaluator, figure.options)
    return RunSpec(
        preset="paper",
        task=figure.task,
        source="none",
        options=full_options(sources, "none", {}),
        n=0,
        model=figure.model,
        objective="ce",
        train=TrainSpec(select_by=figure.evaluator, head_init=head),
        evaluators={figure.evaluator: options},
    )


def _knows_no_texts(figure: Figure, home: Home) -> bool:
    try:
        return is_image_only(home.find_weights(figure.model))
    except MissingError:
        return False


def _check_metric(spec: RunSpec, figure: Figure) -> None:
    from eval.metrics.intervals import METRICS, MULTI_LABEL_METRICS

    task = loaded.task_of(spec)
    known = list(MULTI_LABEL_METRICS if task.multi_label else METRICS)
    if figure.metric not in known:
        raise RequestError(
            f"the metric {figure.metric} is not measured for task {figure.task}",
            f"write {' or '.join(known)}",
        )


def _outcomes(group: list[tuple[Figure, Prepared]], home: Home) -> Iterator[Outcome]:
    """Yield what becomes of the figures of one model and task."""
    features: ModelFeatures | None = None
    for figure, run in group:
        if run.absences:
            what, fix = MissingError.of(run.absences).what, MissingError.of(run.absences).fix
            yield Outcome(figure, why_not=what, fix=fix, absent=True)
            continue
        try:
            with threads.limited_for(home.find_weights(run.spec.model)):
                features = features or _features(run.spec, home)
                yield Outcome(figure, 100 * _value(figure, run.spec, features))
        except BenchError as error:
            yield Outcome(figure, why_not=error.what, fix=error.fix)


def _features(spec: RunSpec, home: Home) -> "ModelFeatures":
    from adapt.models import Classifier
    from eval.features.model_features import ModelFeatures

    folder = home.find_weights(spec.model)
    check_undamaged(folder)
    task, model = loaded.task_of(spec), str(folder)
    return ModelFeatures(
        Classifier.from_clip(loaded.clip_of(model), task, spec.train.head_init),
        loaded.task_images_of(task, home, model),
        lambda: loaded.text_head_of(task, model),
    )


def _value(figure: Figure, spec: RunSpec, features: "ModelFeatures") -> float:
    """Return a figure's metric as measured here, 0 to 1."""
    from eval.metrics.intervals import scores

    evaluator = evaluator_of(figure.evaluator, spec.evaluators[figure.evaluator])
    found = scores(figure.evaluator, "test", "chosen", evaluator.test(features))
    return next(score.value for score in found if score.metric == figure.metric)
