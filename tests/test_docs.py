"""The docs are true: links lead somewhere, generated parts are fresh, citations are explained."""

import json
import re
import shlex
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from bench.miniworld_checks.gates import judge_gates
from bench.miniworld_checks.page import page as gates_page
from bench.plugins import full_options, objectives
from docs import readme
from docs.generate import PAGES as GENERATED
from docs.generate import rendered
from tests.conftest import ROOT, Bench, command

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.stem)
def test_generated_parts_are_fresh(page: Path) -> None:
    text = page.read_text()
    assert "<!-- generated: " in text
    assert rendered(text) == text, "run `make docs`"


def test_the_page_of_the_gates_shows_the_figures_beside_it() -> None:
    figures = json.loads((ROOT / "docs/miniworld/gates.json").read_text())
    shown = (ROOT / "docs/miniworld/gates.md").read_text()
    assert shown == gates_page(figures, judge_gates(figures))


def test_what_code_and_docs_cite_is_in_the_references() -> None:
    references = (ROOT / "docs" / "references.md").read_text()
    folders = ("adapt", "bench", "docs", "eval", "results", "slurm", "sources", "studies", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    texts = [file.read_text() for file in files if file.suffix in {".md", ".py", ".yaml"}]
    cited = {key for text in texts for key in re.findall(r"\(([A-Z]\w+ 20\d\d)[,)]", text)}
    assert {"Geng 2024", "Tian 2023"} <= cited
    assert all(f"| {key} |" in references for key in cited), cited


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 140


def commands() -> list[str]:
    """Return every `bench` command line in a shell block of the README and the docs."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            joined = block.replace("\\\n", " ")
            lines += [line for line in joined.splitlines() if line.startswith("bench ")]
    return sorted({line.split(" #")[0].strip() for line in lines})


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_docs_is_understood(line: str) -> None:
    """Each command's options exist; what they do is tested where the feature is."""
    words = line.split()[1:]
    own = words[: 2 if words[0] in ("images", "miniworld", "task") else 1]
    known = subprocess.run(command(*own, "--help"), capture_output=True, text=True, check=False)
    assert known.returncode == 0, known.stderr
    unknown = [word for word in words if word.startswith("--") and word not in known.stdout]
    assert not unknown, line


def test_the_readme_shows_what_the_last_demo_came_to() -> None:
    told = readme.read()
    shown = (ROOT / "README.md").read_text()
    assert readme.demo(told) in shown
    for row in told["scores"]:
        row["mean"] += 0.05
        assert readme.demo(told) not in shown
        row["mean"] -= 0.05
    told["fidelity"]["domains"]["aircraft"]["generated"]["accuracy"] = 0.5
    assert readme.demo(told) not in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_of_prose_have_at_most_100_characters(page: Path) -> None:
    """Tables, code, generated parts and what has no space to break at may be longer."""
    if page.name == "gates.md":  # Generated as a whole.
        return
    text = re.sub(
        r"^ *```.*?^ *```|<!-- generated.*?<!-- end", "", page.read_text(), flags=re.M | re.S
    )
    long = [line for line in text.splitlines() if len(line) > 100]
    assert not [line for line in long if not re.match(r" *\||\S+$| *- \S+$", line)]


def test_the_pictures_are_of_the_last_demo() -> None:
    kept = {path.stem: path.read_bytes() for path in readme.PICTURES.iterdir()}
    hashes = {name: sha256(content).hexdigest() for name, content in kept.items()}
    told = readme.read()["figures"]
    assert hashes == {name: shown["sha256"] for name, shown in told.items()}, "run `make readme`"


def test_the_page_of_objectives_names_every_option_that_synclr_has_beside_stablereps() -> None:
    page = (ROOT / "docs/objectives.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`", page))
    of_synclr, of_stablerep = (
        full_options(objectives, name, {}).keys() for name in ("synclr", "stablerep")
    )
    assert of_synclr - of_stablerep <= named


def test_the_page_of_systems_has_a_command_that_needs_nothing(bench: Bench) -> None:
    lines = (ROOT / "docs/systems.md").read_text().splitlines()
    (command,) = (line for line in lines if line.startswith("bench run --preset mini-ssl"))
    done = bench(*shlex.split(command)[1:], "--dry-run")
    assert done.code == 0, done.err
