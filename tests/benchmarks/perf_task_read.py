"""How long it takes to open a task's split, and to read an image, beside the same bytes in files.

Usage: python tests/benchmarks/perf_task_read.py [--images 2000] [--rows 100] [--turns 5]

No more than two row groups are kept, as of a data set that is far larger than memory. Photographs
are smooth noise of 500 x 375 pixels, which compresses about as they do; one thread.
"""

import argparse
import io
import random
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.storage.image_codec import decode, encode
from bench.tasks.readers import row_groups
from bench.tasks.readers.parquet import ParquetOrigin
from bench.tasks.readers.webdataset import WebdatasetOrigin
from tests.support.origins import features

CLASSES = [f"class {number}" for number in range(100)]


def photographs(count: int) -> list[bytes]:
    """Return JPEGs of smooth noise, no two of them alike."""
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 256, (47, 63, 3), np.uint8) for _ in range(count))
    large = (Image.fromarray(one).resize((500, 375), Image.Resampling.BICUBIC) for one in noise)
    return [encode(image, ".jpg") for image in large]


def write(root: Path, images: Sequence[bytes], rows: int) -> list[Path]:
    """Write the images as files, Parquet and tars; return the files."""
    (root / "files").mkdir()
    files = [root / "files" / f"{at}.jpg" for at in range(len(images))]
    for file, content in zip(files, images, strict=True):
        file.write_bytes(content)
    (root / "parquet").mkdir()
    labels = [at % len(CLASSES) for at in range(len(images))]
    table = pa.table({"image": [{"bytes": one, "path": None} for one in images], "label": labels})
    table = table.replace_schema_metadata({b"huggingface": features(CLASSES)})
    pq.write_table(table, root / "parquet" / "train.parquet", row_group_size=rows)
    (root / "tars/train").mkdir(parents=True)
    (root / "tars/classnames.txt").write_text("\n".join(CLASSES))
    with tarfile.open(root / "tars/train/0.tar", "w") as tar:
        for at, content in enumerate(images):
            for name, part in ((f"{at}.jpg", content), (f"{at}.cls", str(labels[at]).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(part)
                tar.addfile(member, io.BytesIO(part))
    return files


def taken(read: Callable[[int], object], order: Sequence[int]) -> float:
    """Return the milliseconds per image."""
    start = time.perf_counter()
    for at in order:
        read(at)
    return 1000 * (time.perf_counter() - start) / len(order)


def main() -> None:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    row_groups._KEPT_BYTES = 0
    with TemporaryDirectory() as folder:
        root = Path(folder)
        files = write(root, photographs(options.images), options.rows)
        origins = {
            "parquet": ParquetOrigin(
                repository="a/b", splits={"train": "*.parquet"}, place="parquet"
            ),
            "tars": WebdatasetOrigin(
                repository="a/b", splits={"train": "train/*.tar"}, place="tars"
            ),
        }
        reads: dict[str, Callable[[int], object]] = {
            "files": lambda at: decode(files[at].read_bytes())
        }
        for name, origin in origins.items():
            start = time.perf_counter()
            reads[name] = origin.read("train", root).read
            print(f"{name}: opened in {1000 * (time.perf_counter() - start):.0f} ms")
        shuffled = random.Random(0).sample(range(options.images), min(500, options.images))
        orders = {"in order": range(min(500, options.images)), "at random": shuffled}
        print("order | origin | ms an image | of files")
        for order, rows in orders.items():
            times: dict[str, list[float]] = {name: [] for name in reads}
            for _ in range(options.turns):
                for name, read in reads.items():
                    times[name].append(taken(read, rows))
            for name, values in times.items():
                ratio = median(values) / median(times["files"])
                print(f"{order} | {name} | {median(values):.2f} | {ratio:.2f}")


if __name__ == "__main__":
    main()
