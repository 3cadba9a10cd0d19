"""The gates: what must hold of the miniature world before a study in it means anything.

A gate is one figure with bounds. `bench.miniworld_checks.measure` returns all the figures as
`{"domains": {domain: ...}, "world": ...}`; this module turns them into verdicts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EVALUATORS = ("zero-shot", "linear-probe")
Measurements = dict[str, Any]


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _plain(value: float) -> str:
    return f"{value:.3g}"


@dataclass(frozen=True)
class Gate:
    """One figure and where it must lie.

    Attributes:
        name: What the figure is.
        read: Returns it from one domain's figures, or from the world's; None where it could not
            be measured, which misses the gate.
        reason: Why the bounds are where they are.
        low: The smallest figure that passes.
        high: The largest figure that passes.
        strict: A figure on a bound misses.
        aim: What one would wish for beyond passing.
        form: Writes the figure.
        of_world: There is one figure, not one per domain.
    """

    name: str
    read: Callable[[Measurements], float | None]
    reason: str
    low: float = -math.inf
    high: float = math.inf
    strict: bool = False
    aim: float | None = None
    form: Callable[[float], str] = _percent
    of_world: bool = False

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        least, most = (">", "<") if self.strict else ("≥", "≤")
        bounds = [f"{least} {self.form(self.low)}"] if self.low > -math.inf else []
        bounds += [f"{most} {self.form(self.high)}"] if self.high < math.inf else []
        return ", ".join(bounds) + (f" (aim {self.form(self.aim)})" if self.aim else "")

    def passes(self, value: float | None) -> bool:
        """Return whether a figure lies within the bounds."""
        if value is None or not math.isfinite(value):
            return False
        value = round(value, 6)  # 0.95 - 0.89 is more than 0.06 in floating point
        if self.strict:
            return self.low < value < self.high
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Verdict:
    """The outcome of a gate.

    Attributes:
        gate: The gate.
        values: The figure of each domain, or of the world under an empty name.
    """

    gate: Gate
    values: Mapping[str, float | None]

    @property
    def missed(self) -> list[str]:
        """The domains that miss the gate."""
        return [name for name, value in self.values.items() if not self.gate.passes(value)]

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Gate, figures, bounds, and pass or MISSED."""
        texts = [
            f"{name} {'not measured' if value is None else self.gate.form(value)}".strip()
            for name, value in self.values.items()
        ]
        outcome = f"MISSED {', '.join(self.missed)}".strip() if self.missed else "pass"
        return self.gate.name, ", ".join(texts), self.gate.wanted, outcome


def judge_gates(figures: Measurements) -> list[Verdict]:
    """Return the verdict of every gate."""
    world = {"": figures["world"]}
    return [
        Verdict(
            gate,
            {
                name: gate.read(part)
                for name, part in (world if gate.of_world else figures["domains"]).items()
            },
        )
        for gate in GATES
    ]


def _accuracy(of: str) -> Callable[[Measurements], float]:
    """Return a reader of the oracle's accuracy on one kind of images."""
    return lambda domain: float(domain["fidelity"][of]["accuracy"])


def _unadapted(evaluator: str) -> Callable[[Measurements], float]:
    """Return a reader of the shipped CLIP's validation accuracy by one evaluator."""
    return lambda domain: float(domain["clip"]["shipped"][evaluator])


def _lost_by_autoencoder(domain: Measurements) -> float:
    return _accuracy("real")(domain) - _accuracy("rebuilt")(domain)


def _legibility(domain: Measurements) -> float:
    return _accuracy("generated")(domain) / _accuracy("real")(domain)


def _caption_effect(domain: Measurements) -> float:
    return _accuracy("generated")(domain) - _accuracy("wrong_caption")(domain)


def _appearance(figure: str) -> Callable[[Measurements], float]:
    """Return a reader of how rebuilt or generated images look beside real ones."""
    return lambda domain: float(domain["fidelity"]["appearance"][figure])


def _zero_shot_change(domain: Measurements) -> float:
    return abs(_appearance("zero_shot_rebuilt")(domain) - _appearance("zero_shot_real")(domain))


def _gain(of: str) -> Callable[[Measurements], float]:
    """Return a reader of the probe's gain on test images from one kind of training."""

    def gain(domain: Measurements) -> float:
        before, after = domain["test"]["unadapted"], domain["test"][of]
        return float(after["linear-probe"] - before["linear-probe"])

    return gain


def _random_share(domain: Measurements) -> float:
    most = _gain("clean")(domain)
    return _gain("control")(domain) / most if most > 0 else math.inf


def _gap_in_errors(domain: Measurements) -> float | None:
    gap = domain["fidelity"]["conditioning_gap"]
    return float(gap["gap"] / gap["standard_error"]) if gap["standard_error"] else None


def _fall(world: Measurements) -> float | None:
    return world["convergence"] and float(world["convergence"]["fall"])


GATES = (
    Gate(
        "readability: oracle on real renders",
        _accuracy("real"),
        "The oracle is the judge of the generator, and the classes must differ at 32 pixels.",
        low=0.90,
    ),
    Gate(
        "autoencoder: accuracy lost",
        _lost_by_autoencoder,
        "No generator behind this autoencoder can show what it does not keep.",
        high=0.06,
        form=_points,
    ),
    Gate(
        "autoencoder: CLIP's cosine to the original",
        _appearance("cosine"),
        "The CLIP that is adapted should see rebuilt images as it sees real ones.",
        low=0.90,
        form=_plain,
    ),
    Gate(
        "autoencoder: change of CLIP's zero-shot accuracy",
        _zero_shot_change,
        "The CLIP that is adapted should read rebuilt images as it reads real ones.",
        high=0.06,
        form=_points,
    ),
    Gate(
        "autoencoder: fine detail over that of real",
        _appearance("fine_detail"),
        "Blur is a look that an encoder learns; so is grain.",
        low=0.70,
        high=1.25,
        form=_ratio,
    ),
    Gate(
        "generator: fine detail over that of real",
        _appearance("fine_detail_generated"),
        "As for the autoencoder, with the UNet's own smoothing on top.",
        low=0.60,
        high=1.40,
        form=_ratio,
    ),
    Gate(
        "generator: accuracy over that of real",
        _legibility,
        "Below this a study would compare retrieval with a generator that cannot show the classes.",
        low=0.70,
        aim=0.85,
        form=_ratio,
    ),
    Gate(
        "generator: right minus wrong caption",
        _caption_effect,
        "The class comes from the caption, not from the noise.",
        low=0.30,
        form=_points,
    ),
    Gate(
        "generator: conditioning gap over its error",
        _gap_in_errors,
        "The UNet's error grows with a wrong class, by more than two standard errors.",
        low=2.0,
        strict=True,
        form=lambda value: f"{value:.1f}",
    ),
    Gate(
        "generator: right domain",
        lambda domain: float(domain["fidelity"]["generated"]["right_domain"]),
        "An image of no plane at all is a failure of sampling, not of class fidelity.",
        low=0.98,
    ),
    Gate(
        "memorisation: generated nearer than 8 of 255",
        lambda domain: float(domain["memorisation"]["copies"]),
        "Copies of the pool would be retrieved images by another name.",
        high=0.01,
        strict=True,
    ),
    *(
        Gate(
            f"CLIP: unadapted {evaluator}",
            _unadapted(evaluator),
            "Well above chance, so that filtering works, and with room for adaptation to help.",
            low=0.45,
            high=0.90,
        )
        for evaluator in EVALUATORS
    ),
    Gate(
        "CLIP: fall of the loss in the last quarter",
        _fall,
        "A validation loss that falls asks for more training; one that rises tells that the pool "
        "is being learnt by heart.",
        low=-0.01,
        high=0.01,
        strict=True,
        form=lambda value: f"{value:.2%}",
        of_world=True,
    ),
    Gate(
        "CLIP: gain from as many clean renders",
        _gain("clean"),
        "On test images, by the probe, at the largest n of the study: where the best images move "
        "nothing, a study cannot tell two sources apart.",
        low=0.08,
        form=_points,
    ),
    Gate(
        "CLIP: random pairs' share of that gain",
        _random_share,
        "As many pairs of the pool at random, trained on as long: otherwise gains from targeted "
        "images may be those of more training.",
        high=0.25,
        form=_ratio,
    ),
    Gate(
        "pool: bend of precision over recall",
        lambda domain: float(domain["pool"]["bend"]),
        "A threshold worth choosing drops wrong images before it drops right ones; a straight line "
        "would be 0.",
        low=0.25,
        form=_plain,
    ),
    Gate(
        "pool: class precision a threshold can buy",
        lambda domain: float(domain["pool"]["gain"]),
        "While half of the recall stays; or else the filter does nothing for the retrieved arm.",
        low=0.03,
        form=_points,
    ),
    Gate(
        "fine-tuning: batch statistics not frozen",
        lambda world: float(world["batch_norm"]["training"] + world["batch_norm"]["changed"]),
        "Batch norm in training mode makes small n look worse than it is.",
        high=0,
        form=_plain,
        of_world=True,
    ),
    Gate(
        "weights: size in MB",
        lambda world: float(world["megabytes"]),
        "They ship with the package.",
        high=24,
        form=_plain,
        of_world=True,
    ),
)
