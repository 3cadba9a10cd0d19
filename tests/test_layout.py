"""The floor plan holds: what `_` promises, and what a room says of itself."""

import grimp

from tests.conftest import ROOT

PACKAGES = ("bench", "sources", "adapt", "eval", "results", "slurm")


def test_private_modules_are_imported_from_their_own_package_alone() -> None:
    graph = grimp.build_graph(*PACKAGES)
    private = [name for name in graph.modules if name.rpartition(".")[2].startswith("_")]
    assert private
    strangers = {
        (importer, name)
        for name in private
        for importer in graph.find_modules_that_directly_import(name)
        if not importer.startswith(name.rpartition(".")[0])
    }
    assert not strangers


def test_every_room_says_in_a_line_what_lives_there() -> None:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("__init__.py"):
            first = file.read_text(encoding="utf-8").splitlines()[0]
            assert first.startswith('"""'), file
            assert len(first) > 20, file
