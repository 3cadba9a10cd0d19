"""Tasks without a declaration: a fetched data set of the Hub, and a folder of webdataset tars.

``hf:ORG/NAME@REVISION`` is read from ``$BENCH_HOME/tasks/hf``, ``wds:PATH`` where it is. Names are
the data set's own, splits have the usual names, and what lacks is cut as of a folder of images.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import digest
from bench.core.memo import memo
from bench.core.missing import Fetchable, MissingError
from bench.core.paths import Home
from bench.core.progress import first_few
from bench.core.task import Split
from bench.core.walk import walk
from bench.storage.image_codec import CODEC
from bench.storage.labelled_tars import PACKED_TARS
from bench.tasks._held_out import part_of_all
from bench.tasks._hub_columns import HubName, parquet_origin
from bench.tasks._published import PublishedTask
from bench.tasks._wds_folder import templates, webdataset_origin
from bench.tasks.folders.notes import on_names
from bench.tasks.folders.splits import to_cut
from bench.tasks.readers.hub_origin import HubOrigin, is_called
from bench.tasks.readers.origin import FaultError, Origin

HUB, WEBDATASET = "hf:", "wds:"
"""How the names of such tasks begin."""

_TEMPLATES, _DOMAIN_TEXTS = ("a photo of a {}.",), ("a photo.",)


class UndeclaredTask(PublishedTask, frozen=True, kw_only=True, omit_defaults=True):
    """A task that says itself what it is; all its images are of one origin."""

    path: str
    """Its folder."""
    content: str
    """Fingerprint of its files: others under the same name are another task."""
    fetched_as: str = ""
    """What ``bench fetch --task`` calls it; empty for what cannot be fetched."""

    @property
    def fingerprint(self) -> str:
        """Identity of the names, the prompts, the columns and the images as they are decoded."""
        origin = msgspec.to_builtins(self.origins[0])
        identity = [self.content, CODEC, origin, self.class_names, self.templates]
        return f"{self.name}@{digest(identity)}"

    def folder(self, home: Home) -> Path:
        """Return its folder, which no home has to have."""
        return Path(self.path)

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split: one of its own, or a part of one."""
        source, into = to_cut(self.origins[0].split_names)
        if name not in into:
            return self._official(name, home)
        test = 0.2 if "test" in into else 0.0
        val = 0.2 / (1 - test) if "val" in into else 0.0
        part = part_of_all(name, self._whole(source, home), test, val)
        if not part.keys:
            raise RequestError(
                f"task {self.name}: no image is left for the split {name}",
                "add images: a class needs five to be in a split that is cut from another",
            )
        return part

    def remedy(self, home: Home) -> str:
        """Return how to replace what is damaged."""
        if not self.fetched_as:
            return "mend or replace the files"
        return f"remove {self.path} and run `bench fetch --task {self.fetched_as}`"

    def notes(self) -> list[str]:
        """Return what is assumed."""
        has = self.origins[0].split_names
        source, into = to_cut(has)
        lines = [f"{self.name}: {len(self.class_names)} classes, splits {', '.join(has)}"]
        if into:
            lines.append(
                f"{self.name}: of each class, {source or 'the images without a split'} is cut by a "
                f"hash of the images' names, a fifth to {' and a fifth to '.join(into[1:])}"
            )
        if others := self._not_read():
            lines.append(
                f"{self.name}: {len(others)} files of other splits, or without labels, are not "
                f"read: {first_few(others)}"
            )
        return lines + [f"{self.name}: {line}" for line in [on_names(self.class_names)] if line]

    def _not_read(self) -> list[str]:
        """Return the files of images that are in no split."""
        (origin,) = self.origins
        patterns = origin.splits.values() if isinstance(origin, HubOrigin) else ()
        files = walk(Path(self.path), (".parquet", ".tar", *PACKED_TARS)).files
        return [name for name, _ in files if not any(is_called(name, one) for one in patterns)]

    def _is_main(self, origin: Origin) -> bool:
        return True

    def _divided(self, name: str) -> str:
        source, into = to_cut(self.origins[0].split_names)
        return source if name in into else ""


@memo
def hub_task(text: str, home: Home) -> UndeclaredTask:
    """Return the task ``hf:ORG/NAME@REVISION``, with ``?label=COLUMN`` where several may be meant.

    Raises:
        MissingError: If it was not fetched.
        RequestError: If the name is none, or it is not clear which columns or files are meant.
    """
    name = HubName.parse(text)
    folder = name.folder(home)
    if not folder.is_dir():
        raise MissingError(
            f"the data set {name.fetched_as} is not in {folder}",
            f"fetch it with `bench fetch --task {name.fetched_as}`",
            Fetchable("task", name.fetched_as),
        )
    fix = f"see {folder}; `bench fetch --task {name.fetched_as}` has fetched it"
    try:
        origin, class_names, multi_label = parquet_origin(name, folder)
    except FaultError as fault:
        raise RequestError(f"{name.fetched_as}: {fault.what}", fault.fix or fix) from fault
    return _checked(
        text,
        lambda: UndeclaredTask(
            name=name.repository.rpartition("/")[2],
            version=1,
            class_names=class_names,
            templates=_TEMPLATES,
            domain_texts=_DOMAIN_TEXTS,
            metric="mean-average-precision" if multi_label else "accuracy",
            origins=(origin,),
            path=str(folder),
            content=fingerprint(folder, (".parquet",)),
            fetched_as=name.fetched_as,
        ),
    )


@memo
def tar_task(text: str) -> UndeclaredTask:
    """Return the task ``wds:PATH``, a folder as CLIP-benchmark lays it out.

    Raises:
        RequestError: If there is no such folder, or it is not laid out so.
    """
    folder = Path(text.removeprefix(WEBDATASET))
    if not folder.is_dir():
        raise RequestError(f"the folder {folder} of the task is not there", "give wds:PATH")
    folder = folder.resolve()
    try:
        origin, class_names = webdataset_origin(folder)
        prompts = templates(folder) or _TEMPLATES
    except FaultError as fault:
        raise RequestError(
            fault.what,
            fault.fix or "lay it out as CLIP-benchmark does: classnames.txt, SPLIT/0.tar",
        ) from fault
    return _checked(
        str(folder),
        lambda: UndeclaredTask(
            name=folder.name,
            version=1,
            class_names=class_names,
            templates=prompts,
            domain_texts=_DOMAIN_TEXTS,
            origins=(origin,),
            path=str(folder),
            content=fingerprint(folder, (".tar", ".txt")),
        ),
    )


def _checked(where: str, make: Callable[[], UndeclaredTask]) -> UndeclaredTask:
    """Return a task of two classes at least, whose names can be used.

    Raises:
        RequestError: If it is none.
    """
    try:
        task = make()
    except ValueError as error:
        raise RequestError(f"{where}: {error}") from error
    if len(task.class_names) < 2:
        raise RequestError(f"{where} has {len(task.class_names)} classes", "a task needs two")
    return task
