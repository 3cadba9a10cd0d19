"""Unadapted models are measured where figures are published, and every difference is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.core.paths import Home
from bench.plugins import tasks
from bench.steps.figures import read_figures
from tests.conftest import Bench
from tests.support.command_line import request
from tests.support.image_encoders import write_encoder

Figures = dict[str, Any]


@pytest.fixture
def figure(tiny_clip: Path, colours: Path) -> Figures:
    """A figure of the small CLIP; 15 images are tested, so a value is a multiple of 6.67 %."""
    return {
        "model": str(tiny_clip),
        "task": str(colours),
        "evaluator": "zero-shot",
        "metric": "accuracy",
        "percent": 50.0,
        "tolerance": 50.0,
        "source": "our own",
    }


def written(folder: Path, *figures: Figures) -> str:
    path = folder / "figures.yaml"
    path.write_text(yaml.safe_dump({"figures": list(figures)}))
    return str(path)


def test_measured_is_what_a_run_without_images_records(
    bench: Bench, preset: Path, colours: Path, figure: Figures, tmp_path: Path
) -> None:
    probe = {**figure, "evaluator": "linear-probe", "metric": "mean-per-class"}
    file = written(tmp_path, figure, probe)
    done = bench("verify-models", "--figures", file, "--json")
    assert done.code == 0, done.err
    measured = {row["evaluator"]: row["measured"] for row in json.loads(done.out)}
    words = request(preset, colours, "--set", "evaluators.linear-probe={}", source="none")
    scores = bench(*words).json["scores"]
    recorded = {
        (score["evaluator"], score["metric"]): score["value"]
        for score in scores
        if (score["split"], score["at_epoch"]) == ("test", "chosen")
    }
    assert measured == {
        "zero-shot": pytest.approx(100 * recorded["zero-shot", "accuracy"]),
        "linear-probe": pytest.approx(100 * recorded["linear-probe", "mean-per-class"]),
    }


def test_the_tolerance_decides_and_the_difference_is_shown(
    bench: Bench, figure: Figures, tmp_path: Path
) -> None:
    measured = bench("verify-models", "--figures", written(tmp_path, figure), "--json")
    [row] = json.loads(measured.out)
    value = row["measured"]
    published = value + 5 if value < 50 else value - 5
    off = {**figure, "percent": published, "tolerance": 4.9}
    within = {**figure, "percent": published, "tolerance": 5.0}
    done = bench("verify-models", "--figures", written(tmp_path, within, off))
    assert done.code == 1
    first, second, last = done.out.splitlines()
    assert first.startswith("ok ")
    assert second.startswith("FAIL ")
    assert f"{value:.2f} %, published {published:.2f}" in second
    assert "our own" in second
    assert last == "1 of 2 figures agree; 0 left out"
    assert bench("verify-models", "--figures", written(tmp_path, within)).code == 0


def test_what_is_absent_is_named_and_left_out(
    bench: Bench, home: Home, figure: Figures, tmp_path: Path
) -> None:
    name = "CLIP-ViT-B-16-laion2B-s34B-b88K"
    weights = {**figure, "model": name}
    data = {**figure, "task": "aircraft"}
    done = bench("verify-models", "--figures", written(tmp_path, weights, figure, data))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["note", "ok", "note", "1"]
    assert f"bench fetch --model {name}" in lines[0]
    assert "bench fetch --task aircraft" in lines[2]
    assert lines[-1] == "1 of 1 figures agree; 2 left out"
    assert not home.runs.exists()


def test_an_image_encoder_is_measured_by_what_needs_no_texts(
    bench: Bench, colours: Path, figure: Figures, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder", "test_vit")
    zero_shot = {**figure, "model": str(encoder)}
    probe = {**zero_shot, "evaluator": "linear-probe"}
    done = bench("verify-models", "--figures", written(tmp_path, probe))
    assert done.code == 0, done.err
    assert done.out.startswith("ok ")
    refused = bench(
        "verify-models", "--figures", written(tmp_path, {**figure, "model": str(encoder)})
    )
    assert refused.code == 2
    assert "has no text tower, which the evaluator zero-shot needs" in refused.complaint
    assert "--set" not in refused.complaint


def test_nothing_to_measure_is_one_line_with_the_remedies(bench: Bench) -> None:
    done = bench("verify-models")
    assert (done.code, done.out) == (2, "")
    assert "no figure can be measured" in done.complaint
    assert "bench fetch --model CLIP-ViT-B-16-laion2B-s34B-b88K" in done.complaint


def test_a_figure_that_cannot_be_measured_fails_and_the_others_go_on(
    bench: Bench, colours: Path, figure: Figures, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(colours, damaged)
    (damaged / "test" / "red" / "0.png").write_bytes(b"no image")
    broken = {**figure, "task": str(damaged)}
    done = bench("verify-models", "--figures", written(tmp_path, broken, figure))
    assert done.code == 1
    first, second, last = done.out.splitlines()
    assert first.startswith("FAIL ")
    assert "0.png" in first
    assert second.startswith("ok ")
    assert last == "1 of 2 figures agree; 0 left out"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "imagnet"}, "unknown task 'imagnet'"),
        ({"evaluator": "zero-shoot"}, "did you mean zero-shot"),
        ({"metric": "mean-average-precision"}, "write accuracy or mean-per-class"),
        ({"metric": "top-5"}, "metric"),
        ({"percent": 0.7023, "tolerance": 0}, "tolerance"),
        ({"percent": 700}, "percent"),
        ({"options": {"solver": "adam"}, "evaluator": "linear-probe"}, "solver"),
        ({"within": 1}, "within"),
    ],
)
def test_a_wrong_figure_is_refused_before_any_work(
    bench: Bench, figure: Figures, tmp_path: Path, change: Figures, said: str
) -> None:
    file = written(tmp_path, figure, {**figure, **change})
    done = bench("verify-models", "--figures", file)
    assert (done.code, done.out) == (2, "")
    assert said in done.complaint


def test_a_figure_that_is_listed_twice_is_refused(
    bench: Bench, figure: Figures, tmp_path: Path
) -> None:
    done = bench("verify-models", "--figures", written(tmp_path, figure, dict(figure)))
    assert done.code == 2
    assert "twice" in done.complaint


def test_the_published_figures_are_of_tasks_and_metrics_that_exist() -> None:
    for figure in read_figures():
        task = tasks.get(figure.task)
        assert not task.multi_label
        assert figure.metric in ("accuracy", "mean-per-class")
