"""The gates of the miniature world: what passes, what misses, and how figures are measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from bench.core.paths import Home
from bench.miniworld.pool import PLACEHOLDER_HOST, SPLITS, TruthRow
from bench.miniworld.render import CLASSES
from bench.miniworld.training.resumable import read_curve
from bench.miniworld.truth import retrieval_curve
from bench.miniworld_checks.attributes import attributes_kept
from bench.miniworld_checks.encoder import convergence
from bench.miniworld_checks.gates import GATES, judge_gates
from bench.miniworld_checks.generator import measure_memorisation, nearest
from bench.miniworld_checks.page import HEADER, gate_table, page
from bench.miniworld_checks.pairs import build_once
from bench.miniworld_checks.plots import write_plots
from bench.miniworld_checks.pool import bend_of, precision_gain
from tests.conftest import Bench

Measurements = dict[str, Any]

PLOTS = {"confusion.png", "learning-curve.png", "tau.png"}


def domain_figures() -> Measurements:
    """Measurements of a domain that passes every gate, just."""
    accuracies = {"real": 0.95, "rebuilt": 0.89, "rebuilt_refitted": 0.93, "generated": 0.8,
                  "wrong_caption": 0.1}  # fmt: skip
    fidelity: Measurements = {
        name: {"accuracy": value, "right_domain": 0.98} for name, value in accuracies.items()
    }
    confusion = (np.eye(8, dtype=int) * 30 + 1).tolist()
    fidelity["real"]["confusion"] = fidelity["generated"]["confusion"] = confusion
    fidelity["conditioning_gap"] = {"gap": 0.01, "standard_error": 0.004}
    fidelity["appearance"] = {
        "fine_detail": 0.7, "fine_detail_generated": 0.6, "cosine": 0.9,
        "zero_shot_real": 0.7, "zero_shot_rebuilt": 0.64,
    }  # fmt: skip
    distances = {"least": 9.0, "q05": 12.0, "median": 20.0}
    names = ("tau", "kept", "domain_precision", "class_precision", "recall")
    rows = [(-1.0, 0.5, 0.8), (0.1, 0.7, 0.75), (0.3, 0.8, 0.4), (0.5, 0.9, 0.05)]
    curve = [dict(zip(names, (t, 100, p + 0.05, p, r), strict=True)) for t, p, r in rows]
    return {
        "fidelity": fidelity,
        "attributes": [{"attribute": "tail_plane", "real": 0.9, "generated": 0.7, "chance": 0.5}],
        "memorisation": {"copies": 0.0, "generated": distances, "real": distances},
        "clip": {
            "shipped": {"zero-shot": 0.5, "linear-probe": 0.9},
            "clean": {"zero-shot": 0.5, "linear-probe": 0.98},
            "control": {"zero-shot": 0.52, "linear-probe": 0.88},
            "control_large": {"zero-shot": 0.6, "linear-probe": 0.87},
        },
        "test": {
            "unadapted": {"linear-probe": 0.8},
            "clean": {"linear-probe": 0.88},
            "control": {"linear-probe": 0.82},
        },
        "pool": {"tau": 0.1, "knee": 0.3, "bend": 0.25, "gain": 0.03, "curve": curve},
    }


def all_figures() -> Measurements:
    """Measurements that pass every gate, just."""
    curve = [
        {"model": model, "step": step, key: 1 / step}
        for model, key in (("clip-training", "validation_loss"),
                           ("conditioner-training", "validation_loss"), ("vae-training", "psnr_db"),
                           ("decoder-training", "fine_detail"),
                           ("oracle-training", "validation_accuracy"))
        for step in (100, 200)
    ]  # fmt: skip
    curve += [
        {"model": "unet-training", "step": step, "aircraft": 0.1, "cars": 0.2, "flowers": 0.3}
        for step in (2000, 4000)
    ]
    batches = ("clip_batch", "vae_batch", "decoder_batch", "oracle_batch", "unet_batch")
    return {
        "domains": {domain: domain_figures() for domain in CLASSES},
        "world": {
            "convergence": {"fall": 0.009}, "curve": curve, "recipe": dict.fromkeys(batches, 64),
            "batch_norm": {"layers": 7, "training": 0, "changed": 0}, "megabytes": 24.0,
            "speed": {"images_per_second": 10.0},
        },
    }  # fmt: skip


def test_figures_on_the_bounds_pass_every_gate() -> None:
    verdicts = judge_gates(all_figures())
    assert len(verdicts) == len(GATES)
    assert {verdict.row[-1] for verdict in verdicts} == {"pass"}
    text = gate_table(verdicts)
    assert len({len(line) for line in text.splitlines()}) == 1
    assert all(name in text.splitlines()[0] for name in HEADER)


MISSES: list[tuple[str, str, object]] = [
    ("readability", "fidelity.real.accuracy", 0.89),
    ("accuracy lost", "fidelity.rebuilt.accuracy", 0.8899),
    ("over that of real", "fidelity.generated.accuracy", 0.66),
    ("wrong caption", "fidelity.wrong_caption.accuracy", 0.51),
    ("conditioning gap", "fidelity.conditioning_gap.standard_error", 0.005),
    ("right domain", "fidelity.generated.right_domain", 0.979),
    ("memorisation", "memorisation.copies", 0.01),
    ("CLIP's cosine", "fidelity.appearance.cosine", 0.89),
    ("zero-shot accuracy", "fidelity.appearance.zero_shot_rebuilt", 0.63),
    ("zero-shot accuracy", "fidelity.appearance.zero_shot_rebuilt", 0.77),
    ("autoencoder: fine detail", "fidelity.appearance.fine_detail", 0.69),
    ("autoencoder: fine detail", "fidelity.appearance.fine_detail", 1.26),
    ("generator: fine detail", "fidelity.appearance.fine_detail_generated", 0.59),
    ("generator: fine detail", "fidelity.appearance.fine_detail_generated", 1.41),
    ("as many clean renders", "test.clean.linear-probe", 0.87),
    ("unadapted zero-shot", "clip.shipped.zero-shot", 0.44),
    ("unadapted zero-shot", "clip.shipped.zero-shot", 0.91),
    ("unadapted linear-probe", "clip.shipped.linear-probe", 0.91),
    ("random pairs' share", "test.control.linear-probe", 0.8201),
    ("random pairs' share", "test.clean.linear-probe", 0.8),
    ("bend", "pool.bend", 0.24),
    ("can buy", "pool.gain", 0.02),
    ("fall of the loss", "world.convergence", None),
    ("fall of the loss", "world.convergence.fall", 0.01),
    ("fall of the loss", "world.convergence.fall", -0.02),
    ("batch statistics", "world.batch_norm.training", 1),
    ("batch statistics", "world.batch_norm.changed", 2),
    ("size", "world.megabytes", 24.1),
]


@pytest.mark.parametrize(("gate", "path", "value"), MISSES)
def test_each_gate_can_be_missed(gate: str, path: str, value: object) -> None:
    figures = all_figures()
    *parents, last = path.split(".")
    part = figures if parents[0] == "world" else figures["domains"]["cars"]
    for parent in parents:
        part = part[parent]
    part[last] = value
    missed = {verdict.gate.name: verdict for verdict in judge_gates(figures) if verdict.missed}
    verdict = next(verdict for name, verdict in missed.items() if gate in name)
    assert verdict.row[-1] == ("MISSED" if parents[0] == "world" else "MISSED cars")
    assert verdict.gate.wanted
    assert ("not measured" in verdict.row[1]) == (value is None)


def test_every_gate_is_missed_by_one_of_the_cases() -> None:
    for gate in GATES:
        assert any(part in gate.name for part, _, _ in MISSES), gate.name


def test_attributes_are_read_from_the_classes_read() -> None:
    names = CLASSES["aircraft"]
    real = np.eye(8, dtype=int) * 10
    generated = real.copy()
    # Every MD-80, the one with a T tail, is read as a 737, which has two engines as well.
    md80, b737 = names.index("MD-80"), names.index("737-800")
    generated[md80] = 10 * (np.arange(8) == b737)
    kept = {row.attribute: row for row in attributes_kept("aircraft", real, generated)}
    assert kept["tail"].real == 1
    assert kept["tail"].generated == pytest.approx(7 / 8)
    assert kept["tail"].chance == pytest.approx((1 + 49) / 64)
    assert kept["engines"].lost == 0
    lost = [row.lost for row in attributes_kept("aircraft", real, generated)]
    assert lost == sorted(lost, reverse=True)


def test_copies_and_mirrored_copies_are_found() -> None:
    torch.manual_seed(0)
    pool = torch.randint(0, 256, (9, 8, 8, 3), dtype=torch.uint8)
    brighter = pool[4].clamp(max=250) // 2
    distances = nearest(torch.stack([pool[3], pool[5].flip(1), brighter]), pool)
    assert distances[:2].tolist() == pytest.approx([0, 0], abs=0.05)
    candidates = torch.cat([pool, pool.flip(2)]).float()
    by_hand = (candidates - brighter.float()).square().mean((1, 2, 3)).sqrt().min()
    assert float(distances[2]) == pytest.approx(float(by_hand), rel=1e-4)
    figures = measure_memorisation(torch.stack([pool[3], brighter]), brighter[None], pool)
    assert figures["copies"] == 0.5


def truth_row(number: int, domain: str, name: str, kind: str, status: str = "ok") -> TruthRow:
    return TruthRow(number, f"images/{number}.png", domain, name, number, kind, "cars", "", status)


def test_the_curve_counts_what_each_threshold_keeps(tmp_path: Path) -> None:
    golf, volvo = "Volkswagen Golf", "Volvo 240"
    truth = [
        truth_row(0, "cars", golf, "true"),
        truth_row(1, "cars", volvo, "wrong_label"),
        truth_row(2, "other", "toy car", "distractor"),
        truth_row(3, "cars", golf, "true"),
        truth_row(4, "cars", golf, "true", "404"),
        truth_row(5, "flowers", "rose", "true"),
    ]
    table = pl.DataFrame(truth, schema=list(TruthRow._fields), orient="row")
    table.write_parquet(tmp_path / "truth.parquet")
    urls = [f"http://{PLACEHOLDER_HOST}/images/{number}.png" for number in (0, 1, 2)]
    scores = [0.4, 0.3, 0.1]
    index = pl.DataFrame({"url": urls, "class_name": [golf] * 3, "clip_score": scores})
    curve = retrieval_curve(index, "cars", tmp_path, [-1.0, 0.1, 0.35, 0.9])
    assert curve.select("kept", "domain_precision", "class_precision", "recall").rows() == [
        pytest.approx(row)
        for row in ((3, 2 / 3, 1 / 3, 2 / 3), (2, 1, 1 / 2, 2 / 3), (1, 1, 1, 1 / 3), (0, 0, 0, 0))
    ]


def curve_of(precision: Callable[[float], float]) -> pl.DataFrame:
    taus = np.linspace(0, 1, 101)
    values = [precision(tau) for tau in taus]
    return pl.DataFrame({"tau": taus, "recall": 0.8 * (1 - taus), "class_precision": values})


def test_a_straight_line_has_no_bend() -> None:
    assert bend_of(curve_of(lambda tau: 0.5 + 0.3 * tau))[0] == pytest.approx(0, abs=1e-9)
    assert bend_of(curve_of(lambda tau: 0.5 + 0.3 * tau**2))[0] == pytest.approx(0, abs=1e-9)
    assert bend_of(curve_of(lambda _: 0.5))[0] == pytest.approx(0, abs=1e-9)


def test_the_knee_is_where_precision_stops_rising() -> None:
    rising = curve_of(lambda tau: min(0.9, 0.5 + 2 * tau))
    bend, knee = bend_of(rising)
    assert knee == pytest.approx(0.2)
    # The curve ends at 5 % of the recall: the knee has lost 0.2 of the 0.95 before that.
    assert bend == pytest.approx((1 - 0.2 / 0.95) / np.sqrt(2), abs=0.01)
    assert precision_gain(rising) == pytest.approx(0.4)


def test_precision_that_costs_more_than_half_of_the_recall_buys_nothing() -> None:
    assert precision_gain(curve_of(lambda tau: 0.5 + 0.4 * (tau > 0.55))) == pytest.approx(0)


def test_convergence_is_read_from_the_lines_that_hold(tmp_path: Path) -> None:
    losses = [(100, 5.0), (700, 9.0), (900, 3.0), (700, 3.0), (900, 2.99), (1000, 2.97)]
    lines = [
        {"model": "clip-training", "step": step, "validation_loss": loss} for step, loss in losses
    ]
    lines.append({"model": "vae-training", "step": 5000, "psnr_db": 20.0})
    file = tmp_path / "curve.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = {"fall": 0.01, "steps": [700, 1000], "losses": [3.0, 2.97]}
    assert convergence(read_curve(file)) == expected
    assert convergence(read_curve(file)[:1]) is convergence([]) is None


def test_what_is_made_once_is_made_again_after_a_failure(tmp_path: Path) -> None:
    made = []

    def make(folder: Path, fails: bool) -> None:
        made.append(fails)
        (folder / "half").touch()
        if fails:
            raise RuntimeError

    target = tmp_path / "target"
    with pytest.raises(RuntimeError):
        build_once(target, lambda folder: make(folder, True))
    assert not target.exists()
    assert [build_once(target, lambda folder: make(folder, False)) for _ in "ab"] == [target] * 2
    assert made == [True, False]


def test_figures_and_page_are_written(tmp_path: Path) -> None:
    figures = all_figures()
    for path in write_plots(figures, tmp_path):
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(image.getcolors(image.width * image.height) or []) > 20
    assert {path.name for path in tmp_path.iterdir()} == PLOTS
    text = page(figures, judge_gates(figures))
    for part in ("tail plane", "20.0 points", "12.0", "| aircraft | zero-shot ", "52.0%", "60.0%"):
        assert part in text, part
    figures["world"]["curve"] = []  # Weights without a learning curve are plotted too.
    (tmp_path / "without").mkdir()
    assert all(path.is_file() for path in write_plots(figures, tmp_path / "without"))


def test_a_folder_that_holds_no_weights_is_a_wrong_request(
    bench: Bench, home: Home, tmp_path: Path
) -> None:
    done = bench("miniworld", "check", "--weights", str(tmp_path))
    assert done.code == 2
    assert f"no clip, stable-diffusion, oracle.safetensors in {tmp_path}" in done.complaint
    assert not home.root.exists()


@pytest.mark.slow(minutes=2)
def test_the_check_measures_every_gate(
    bench: Bench, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole check on the shipped weights, of one domain and with fewer images."""
    domain = {"aircraft": CLASSES["aircraft"]}
    monkeypatch.setattr("bench.miniworld_checks.measure.CLASSES", domain)
    monkeypatch.setattr("bench.miniworld.training.fidelity.DOMAINS", tuple(domain))
    monkeypatch.setattr("bench.miniworld.training.fidelity.IMAGES_PER_CLASS", 2)
    monkeypatch.setattr("bench.miniworld.training.fidelity.WRONG_IMAGES_PER_CLASS", 2)
    monkeypatch.setitem(SPLITS, "oracle", (20, SPLITS["oracle"][1]))
    monkeypatch.setattr("sources.pool.pool.MINIWORLD_PAIRS", 1_500)
    monkeypatch.setattr("bench.miniworld_checks.encoder.LARGEST_N", 32)
    monkeypatch.setattr("bench.miniworld_checks.generator.TIMED_BATCHES", 1)
    monkeypatch.setattr("bench.miniworld_checks.generator.SAMPLING_BATCH", 8)
    out = tmp_path / "out"
    done = bench("miniworld", "check", "--out", str(out))
    verdicts = {row[1]: row[4] for row in table_rows(done.out)}
    assert len(verdicts) == len(GATES), done.err
    for gate in ("readability", "autoencoder: accuracy", "CLIP: unadapted zero", "fine-tuning"):
        assert [word for name, word in verdicts.items() if name.startswith(gate)] == ["pass"], gate
    assert done.code == (1 if any("MISSED" in word for word in verdicts.values()) else 0)
    (figures,) = json.loads((out / "gates.json").read_text())["domains"].values()
    assert figures["fidelity"]["generated"]["n"] == 16
    assert figures["memorisation"]["generated"]["least"] > 0
    assert {path.name for path in out.iterdir()} == {*PLOTS, "gates.json", "gates.md"}
    # The check's runs are no study's: no report may show them.
    assert list(home.runs.iterdir()) == []


def table_rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.splitlines()[2:]]
