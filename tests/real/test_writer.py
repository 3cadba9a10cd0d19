"""The caption writer `transformers` with a language model that knows English."""

from pathlib import Path

import pytest

from bench.core.paths import Home
from bench.core.task import Task
from sources.captions.check import MAX_LENGTH
from sources.captions.table import caption_counts, caption_rows
from tests.real.conftest import available
from tests.real.language_model import small_language_model
from tests.support.captions import write_block

FOODS = Task(
    name="foods", version=1, class_names=("banana", "pineapple", "sweet potato"),
    templates=("a photo of a {}.",), domain_texts=("a food.",),
)  # fmt: skip
ITEMS = 12


@pytest.fixture(scope="session")
def language_model() -> Path:
    """A folder with SmolLM2."""
    with available():
        return small_language_model()


def test_a_language_model_s_captions_name_their_class(home: Home, language_model: Path) -> None:
    stage = write_block(
        home, FOODS, writer="transformers", block_size=ITEMS, retries=4,
        options={"model": str(language_model), "max_tokens": 40},
    )  # fmt: skip
    rows, counts = caption_rows(stage), caption_counts([stage])
    # It is asked for a caption of the thing, after three examples; most answers are one.
    assert rows.height >= ITEMS // 2
    for row in rows.iter_rows(named=True):
        assert row["class_name"] in row["caption"].lower().replace("-", " ")
        assert len(row["caption"]) <= MAX_LENGTH
        assert "\n" not in row["caption"]
    assert rows["caption"].n_unique() == rows.height
    given_up = sum(sum(kind["given up"].values()) for kind in counts.values())
    assert rows.height + given_up == ITEMS
    print(rows["class_name", "caption", "attempt", "refused"].to_dicts(), counts)
