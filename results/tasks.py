"""What tasks are called: a built-in one by its name, one in a folder by the folder's."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from bench.plugins import tasks
from results.labels import Run


def task_names(records: Iterable[Run]) -> dict[str, str]:
    """Return what records call tasks (name, or a folder's path) to a name of that task alone.

    Folders of one content and name are one task, wherever they were. Of several that are called
    alike, each is named by as much of its latest path as tells them apart.
    """
    latest: dict[str, str] = {}
    same: dict[str, set[str]] = defaultdict(set)
    for record in records:
        place = record.spec.task
        latest[place] = max(latest.get(place, ""), record.started)
        same[record.spec.fingerprints.get("task", place)].add(place)
    known = set(tasks.names())
    of_task = _merged([group for group in same.values() if not group & known])
    shown = {max(group, key=lambda place: (latest[place], place)): group for group in of_task}
    names = {place: place for place in latest if place in known}
    for place, name in _shortest(shown, known).items():
        names |= dict.fromkeys(shown[place], name)
    return names


def _merged(groups: Iterable[set[str]]) -> list[set[str]]:
    """Return sets of which no two share anything."""
    apart: list[set[str]] = []
    for group in groups:
        touching = [other for other in apart if other & group]
        apart = [other for other in apart if not other & group]
        apart.append(group.union(*touching))
    return apart


def _shortest(places: Mapping[str, object], taken: set[str]) -> dict[str, str]:
    """Return the shortest end of each path that is no other path's, and no name that is taken."""
    ends = {place: _ends(place) for place in places}
    counts: dict[str, int] = defaultdict(int)
    for each in ends.values():
        for end in each:
            counts[end] += 1
    return {
        place: next((end for end in each if counts[end] == 1 and end not in taken), place)
        for place, each in ends.items()
    }


def _ends(place: str) -> list[str]:
    """Return the ends of a path, the shortest first; those of one as it was typed are its own."""
    parts = PurePath(place).parts
    return ["/".join(parts[start:]) for start in range(len(parts) - 1, 0, -1)] + [place]
