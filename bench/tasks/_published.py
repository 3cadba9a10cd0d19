"""A published task: one YAML file, read from whichever of its origins has a copy on disk.

The names, the splits and the images must be the official ones, so that a label means the same class
and a split the same images in every home. Nothing is downloaded here.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.core.config import Fraction, parse_config
from bench.core.errors import RequestError
from bench.core.json_values import Json, digest
from bench.core.memo import memo
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import SPLITS, Split, Task
from bench.core.yaml_files import read_yaml
from bench.tasks._held_out import part_of_all, part_of_train
from bench.tasks.readers.class_folders import FoldersOrigin
from bench.tasks.readers.lists import ListOrigin
from bench.tasks.readers.origin import FaultError, Origin, class_counts, count_table, labelled
from bench.tasks.readers.parquet import ParquetOrigin
from bench.tasks.readers.torchvision_class import TorchvisionOrigin
from bench.tasks.readers.voc import VocOrigin
from bench.tasks.readers.webdataset import WebdatasetOrigin

AnyOrigin = (
    TorchvisionOrigin | ParquetOrigin | WebdatasetOrigin | FoldersOrigin | ListOrigin | VocOrigin
)

_OF_ANOTHER = (
    "class_names", "templates", "domain_texts", "queries", "prompt_names", "noun", "metric",
    "citation", "licence",
)  # fmt: skip
"""The fields of the task that another is like."""

_ALL = "all"
"""The name of the one split of a data set that has none of its own."""


class PublishedTask(Task, frozen=True, kw_only=True, omit_defaults=True):
    """A benchmark kept below ``$BENCH_HOME/tasks/NAME``, as its YAML file declares it."""

    like: str = ""
    """The task whose images it splits otherwise; it is kept in that one's folder."""
    origins: tuple[AnyOrigin, ...]
    """Where a copy may be from; of those that are there, the first is read."""
    val_of_train: Fraction = 0.0
    """Share of the train split held out as val, where the benchmark has none."""
    test_of_all: Fraction = 0.0
    """Share of every class held out as test, where the benchmark has no splits."""
    class_counts: dict[str, str] = {}
    """SHA-256 of the class names and counts of a split of the publisher's (`count_table`)."""
    citation: str = ""
    """Who published it, and where."""
    licence: str = ""
    """What its images may be used for, and the address that says so."""
    folder_names: int = 0
    """How many class folders there are, where they alone say what the classes are called."""
    absent: tuple[str, ...] = ()
    """Shifted splits that are not in the home; set by `at`."""
    how_to_get: str = ""
    """How to get a copy that no command fetches; ``{folder}`` is the task's folder."""

    @classmethod
    def load(cls, name: str) -> "PublishedTask":
        """Return the task that the YAML file of its name declares."""
        return parse_config(cls, {**_declared(name), "name": name}, f"the task {name}")

    def __post_init__(self) -> None:
        """Check the names, texts and origins.

        Raises:
            ValueError: If an origin spells a class that the task has not, or lacks a split.
        """
        super().__post_init__()
        for origin in self.origins:
            if unknown := sorted(set(origin.class_names.values()) - set(self.class_names)):
                raise ValueError(f"origins: {origin.label} spells no class {unknown[0]!r}")
        if not any(self._is_main(origin) for origin in self.origins):
            raise ValueError("origins: none has the splits train and test, or all")

    @property
    def fingerprint(self) -> str:
        """Identity of names, prompts, splits and origins."""
        values = msgspec.to_builtins(self)
        for field in ("citation", "licence", "how_to_get", "split_contents", "absent"):
            values.pop(field, None)
        return f"{self.name}@{self.version}-{digest(values, 8)}"

    def folder(self, home: Home) -> Path:
        """Return the folder that the benchmark is kept in."""
        return home.tasks / (self.like or self.name)

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the splits besides train, val and test that are there."""
        return tuple(name for name in super().shifted if name not in (_ALL, *self.absent))

    @property
    def own_classes_only(self) -> tuple[str, ...]:
        """Names of the shifted splits that have some of the classes, by their publishers."""
        return tuple(name for name in self.shifted if self._origin(name).some_classes)

    @property
    def variants(self) -> tuple[Task, ...]:
        """The task as read from each of its origins."""
        return tuple(self._of(origin) for origin in self.origins if self._is_main(origin))

    @memo
    def at(self, home: Home) -> "PublishedTask":
        """Return the task as read from the first of its origins that is there.

        Raises:
            MissingError: If none is.
        """
        for origin in self.origins:
            if self._is_main(origin) and origin.is_there(self.folder(home)):
                task = self._of(origin)
                folder = self.folder(home)
                absent = tuple(
                    name for name in task.shifted if not task._origin(name).has_split(name, folder)
                )
                return msgspec.structs.replace(task, absent=absent)
        raise MissingError(
            f"the data of task {self.name!r} is not in {self.folder(home)}", self.advice(home)
        )

    @memo
    def check(self, home: Home) -> None:
        """Make sure that the benchmark is there, whole and the official one."""
        task = self.at(home)
        splits = {name: task.split(name, home) for name in (*SPLITS, *task.shifted)}
        task._check_apart(splits, home)
        for name, split in splits.items():
            try:
                task._origin(name).check_images(split, self.folder(home))
            except FaultError as fault:
                raise self._refusal(fault, home) from fault

    def _check_apart(self, splits: Mapping[str, Split], home: Home) -> None:
        """Make sure that no image is in two splits, as where one list was saved as another.

        Those of class folders are in folders of their own, whatever they are called there.
        """
        split_of: dict[str, str] = {}
        for name, split in splits.items():
            if isinstance(self._origin(name), FoldersOrigin):
                continue
            for key in split.keys:
                if (other := split_of.setdefault(key, name)) != name:
                    what = f"the image {key} is in the splits {other} and {name}"
                    raise self._refusal(FaultError(what + self.listed_in(name, home)), home)

    def split(self, name: str, home: Home) -> Split:
        """Open a split of the copy that is there; see `Task.split`."""
        return super(PublishedTask, self.at(home)).split(name, home)

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split of the origin that is read."""
        divided = self._divided(name)
        if divided == _ALL:
            whole = self._whole(_ALL, home)
            return part_of_all(name, whole, self.test_of_all, self.val_of_train)
        if divided:
            return part_of_train(name, self._whole(divided, home), self.val_of_train)
        return self._official(name, home)

    def listed_in(self, name: str, home: Home) -> str:
        """Return the file that lists a split, as the end of a message."""
        official = self._divided(name) or name
        return f" in {self._origin(name).listed_in(official, self.folder(home))}"

    def advice(self, home: Home) -> str:
        """Return how to get the data."""
        fetch = f"`bench fetch --task {self.name}`"
        if self.how_to_get:
            by_hand = self.how_to_get.format(folder=self.folder(home))
            return f"{by_hand}, and check them with {fetch}; or try --preset mini"
        return f"fetch it with {fetch}, or try --preset mini"

    def remedy(self, home: Home) -> str:
        """Return how to replace data that are not the official ones."""
        fetch = f"`bench fetch --task {self.name}`"
        if self.how_to_get:
            return (
                f"replace it by the official one (`bench show {self.name}` says how), and check "
                f"all with {fetch}"
            )
        return f"remove {self.folder(home)} and run {fetch}"

    def notes(self) -> list[str]:
        """Return which origin the task is read from, once that is settled."""
        main = [origin.label for origin in self.origins if self._is_main(origin)]
        origin = [f"the task {self.name} is read from {main[0]}"] if len(main) == 1 else []
        lacking = f"the task {self.name} has no shifted splits {', '.join(self.absent)} here"
        return origin + ([lacking] if self.absent else [])

    def _is_main(self, origin: Origin) -> bool:
        """Return whether an origin has the splits to train on and to test on."""
        has = set(origin.split_names)
        whole = has >= {"train", "test"} and ("val" in has or self.val_of_train > 0)
        return whole or (_ALL in has and self.test_of_all > 0 and self.val_of_train > 0)

    def _of(self, origin: AnyOrigin) -> "PublishedTask":
        """Return the task as read from one origin; shifted splits are always from their own."""
        others = [other for other in self.origins if not self._is_main(other)]
        contents: dict[str, str] = {}
        for each in (*others, origin):
            contents |= each.split_contents
        return msgspec.structs.replace(self, origins=(origin, *others), split_contents=contents)

    def _origin(self, split: str) -> AnyOrigin:
        """Return the origin that a split is read from."""
        for origin in self.origins:
            if split in origin.split_names:
                return origin
        return self.origins[0]

    def _divided(self, name: str) -> str:
        """Return the publisher's split that a split is a part of; empty if it is the whole one."""
        has = self._origin(name).split_names
        if name in SPLITS and _ALL in has:
            return _ALL
        return "train" if name in ("train", "val") and "val" not in has else ""

    def _official(self, name: str, home: Home) -> Split:
        """Return one of the publisher's own splits, with the task's labels."""
        origin, folder = self._origin(name), self.folder(home)
        try:
            listing = origin.read(name, folder)
            expected = origin.expected_names(self.class_names)
            return labelled(listing, name, self.class_names, expected, numbered=origin.numbered)
        except FaultError as fault:
            raise self._refusal(fault, home) from fault

    def _whole(self, name: str, home: Home) -> Split:
        """Return one of the publisher's splits that is to be divided."""
        split = self._official(name, home)
        if what := self._size_fault(split) or self._count_fault(split):
            raise self._refusal(
                FaultError(f"split {name} {what}{self.listed_in(name, home)}"), home
            )
        return split

    def _size_fault(self, split: Split) -> str:
        """Return in what the size of a whole differs from the declared one; its parts have own."""
        expected = self.split_sizes.get(_ALL, len(split))
        differs = split.name == _ALL and len(split) != expected
        return f"has {len(split)} images, not {expected}" if differs else ""

    def _fault(self, name: str, split: Split) -> str:
        """Return in what a split differs from the declared one; nothing if it does not."""
        fault = super()._fault(name, split)
        # Of a divided split the whole was counted.
        return fault or ("" if self._divided(name) else self._count_fault(split))

    def _count_fault(self, split: Split) -> str:
        """Return in what the numbers of images per class differ from the declared ones."""
        expected = self.class_counts.get(split.name)
        if not expected or (found := count_table(split, self.class_names)) == expected:
            return ""
        counts = class_counts(split, len(self.class_names))
        return (
            f"has other numbers of images per class than the official one: table {found[:12]}, "
            f"expected {expected[:12]}; {len(split)} images, from {counts.min()} to {counts.max()} "
            "a class"
        )

    def _refusal(self, fault: FaultError, home: Home) -> RequestError:
        kind = MissingError if fault.absent else RequestError
        return kind(f"task {self.name}: {fault.what}", fault.fix or self.remedy(home))


def _declared(name: str) -> Json:
    """Return the fields of a YAML file, those of the task that it is ``like`` among them.

    Of that task it has the names and the prompts, not the images and their splits. Prompts and
    queries of classes that it leaves out are left out.
    """
    values = read_yaml(Path(__file__).with_name(f"{name.replace('-', '_')}.yaml"))
    if "like" not in values:
        return values
    like = _declared(values["like"])
    merged = {field: like[field] for field in _OF_ANOTHER if field in like} | values
    kept = set(merged["class_names"])
    for field in ("queries", "prompt_names"):
        by_name = merged.get(field, {})
        merged[field] = {each: by_name[each] for each in by_name if each in kept}
    return merged
