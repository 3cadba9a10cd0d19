"""The renderer: a picture is a function of its name and seed, and each kind shows what it says."""

import numpy as np
import pytest

from bench.core.json_values import digest
from bench.core.yaml_files import read_yaml
from bench.miniworld.pool import WORLD
from bench.miniworld.render import CLASSES, DISTRACTORS, attributes, render
from tests.conftest import ROOT

DOMAINS = list(CLASSES)
SUBJECTS = [
    *((domain, name) for domain, names in CLASSES.items() for name in names),
    *(("other", name) for name in DISTRACTORS),
]


@pytest.mark.parametrize(("domain", "name"), SUBJECTS)
def test_a_picture_depends_on_its_name_and_seed_alone(domain: str, name: str) -> None:
    picture = render(domain, name, 5)
    assert (picture.shape, picture.dtype) == ((32, 32, 3), np.dtype(np.uint8))
    assert picture.std() > 1
    assert np.array_equal(picture, render(domain, name, 5))
    assert not np.array_equal(picture, render(domain, name, 6))


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domains_classes_differ_and_other_models_drawings_and_collages_are_near_it(
    domain: str,
) -> None:
    structures = {str(attributes(domain, name)) for name in CLASSES[domain]}
    assert len(structures) == len(CLASSES[domain])
    near = {name for name, domains in DISTRACTORS.items() if domains == (domain,)}
    singular = domain.removesuffix("s")
    assert {f"another {singular}", f"{singular} drawing", f"{singular} collage"} <= near


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_drawing_is_ink_on_paper(domain: str) -> None:
    for seed in range(8):
        drawing = render("other", f"{domain.removesuffix('s')} drawing", seed).astype(int)
        grey = drawing.mean(axis=2)
        # Most of it is paper, of one brightness; some of it is much darker.
        assert (np.abs(grey - np.median(grey)) < 25).mean() > 0.45
        assert grey.min() < np.median(grey) - 60


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_collage_is_four_pictures(domain: str) -> None:
    seams, elsewhere = [], []
    for seed in range(20):
        collage = render("other", f"{domain.removesuffix('s')} collage", seed).astype(float)
        jumps = np.abs(np.diff(collage, axis=0)).mean(axis=(1, 2))
        seams.append(jumps[15])
        elsewhere.append(np.delete(jumps, 15).mean())
    assert np.mean(seams) > 1.5 * np.mean(elsewhere)


def test_what_does_not_exist_is_named_with_its_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'Spitfire'"):
        render("aircraft", "Spitfier", 1)
    with pytest.raises(ValueError, match="seed must be"):
        render("aircraft", "Spitfire", -1)


def test_other_pictures_are_another_world() -> None:
    """Where this fails on purpose, raise the version in _mini.yaml and the pool's `WORLD`.

    Version 3 has other splits of the same pictures and of the same pool.
    """
    pictures = [render(domain, name, 7) for domain, name in SUBJECTS]
    assert digest([picture.tobytes().hex() for picture in pictures], 12) == "9c23883d0c28"
    assert WORLD == "miniworld-v2"
    assert read_yaml(ROOT / "bench" / "tasks" / "_mini.yaml")["all"]["version"] == 3
