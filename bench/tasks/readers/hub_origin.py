"""Copies of data sets of the Hugging Face Hub: where they lie, and which files are a split's."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.walk import walk
from bench.tasks.readers.origin import FaultError, Origin

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\b")
"""How the Hub's Parquet files count themselves: ``train-00000-of-00003.parquet``."""


class HubOrigin(Origin, frozen=True, kw_only=True, omit_defaults=True):
    """A data set of the Hub, kept as its repository has it."""

    repository: str
    """ORG/NAME on the Hub."""
    revision: str = ""
    """The commit that was fetched; empty for whichever was."""
    splits: dict[str, str]
    """The task's split to a pattern of its files' names in the repository."""
    place: str = ""
    """The folder below the task's; by default ``ORG--NAME``."""

    @property
    def label(self) -> str:
        """Return repository and revision."""
        reader = str(self.__struct_config__.tag)
        return f"{reader}:{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the splits that the data set has."""
        return tuple(self.splits)

    def root(self, folder: Path) -> Path:
        """Return where the repository's files are."""
        return folder / (self.place or self.repository.replace("/", "--"))

    def is_there(self, folder: Path) -> bool:
        """Return whether anything of the repository is there."""
        return self.root(folder).is_dir()

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the pattern of a split's files."""
        return self.root(folder) / self.splits[split]

    def files(self, split: str, folder: Path) -> list[Path]:
        """Return the files of a split, sorted by name.

        Raises:
            FaultError: If there are none, or one of those that are counted in their names is not
                there.
        """
        root, pattern = self.root(folder), self.splits[split]
        try:
            present = dict(walk(root).files)
        except RequestError as error:
            raise FaultError(error.what) from error
        names = [name for name in present if is_called(name, pattern)]
        if not names:
            raise FaultError(f"{root} has no file {pattern} of split {split}", absent=True)
        for name in names:
            if (count := _SHARD.search(name)) and int(count[2]) != len(names):
                raise FaultError(
                    f"{root} has {len(names)} of {int(count[2])} files {pattern} of split {split}",
                    absent=True,
                )
        return [present[name] for name in sorted(names)]


def is_called(name: str, pattern: str) -> bool:
    """Return whether a pattern is of a file's name; unlike for `fnmatch`, ``*`` has no folders."""
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)
