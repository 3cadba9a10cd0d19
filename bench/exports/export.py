"""Export an image set in one go: whole or not at all, and twice the same."""

from pathlib import Path

from filelock import FileLock

from bench.core.errors import RequestError
from bench.core.files import atomic_folder
from bench.core.progress import Progress
from bench.exports.card import card
from bench.exports.formats import WRITERS, Format
from bench.exports.found import Exported
from bench.exports.items import Item, items


def export_images(
    exported: Exported, kind: Format, out: Path, licence: str, progress: Progress
) -> None:
    """Write images, labels, captions, where they are from, and a dataset card to a new folder.

    The same images give the same bytes. A killed export leaves nothing under the folder's name.

    Args:
        exported: The images.
        kind: The layout.
        out: The folder; its parents are made.
        licence: As of `bench.exports.card.card`.
        progress: Where to report.

    Raises:
        RequestError: If the folder exists, or there are no images.
        BenchError: If an image is no longer what the set's index says.
    """
    if exported.rows.is_empty():
        raise RequestError(f"the image set {exported.name} has no images")
    _require_absent(out)
    lock = out.with_name(f".{out.name}.lock")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()  # A lock that cannot be made is waited for, for ever.
    except OSError as error:
        raise RequestError(
            f"cannot write to {out.parent}: {error.strerror}", "choose another place"
        ) from error
    with FileLock(lock):
        _require_absent(out)  # Another process may have made it.
        with progress.bar("export", exported.rows.height, "image") as bar:

            def counted(item: Item) -> Item:
                bar.advance()
                return item

            with atomic_folder(out, durable=True) as folder:
                class_names = list(exported.manifest.counts)
                WRITERS[kind](folder, map(counted, items(exported)), class_names)
                text = card(exported, kind, licence)
                (folder / "README.md").write_text(text, "utf-8")
    lock.unlink(missing_ok=True)


def _require_absent(out: Path) -> None:
    if out.exists():
        raise RequestError(f"{out} exists", "give a new folder, or remove that one")
