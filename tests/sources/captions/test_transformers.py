"""Captions by a language model on this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.storage.stage import Stage
from sources.captions.table import caption_counts, caption_rows
from tests.conftest import Bench
from tests.support.command_line import refusal
from tests.support.language_models import by_writer, write_tiny_llm


def by_model(home: Home, model: Path, writing: Any = (), **more: Any) -> Stage:
    given = {"model": str(model), "max_tokens": 12, **dict(writing)}
    return by_writer(home, "transformers", given, **{"retries": 9, **more})


def test_a_model_s_captions_are_single_lines_with_their_class(home: Home, tiny_llm: Path) -> None:
    stage = by_model(home, tiny_llm, block_size=40)
    found, counts = caption_rows(stage), caption_counts([stage])
    assert found.height > 25
    for row in found.iter_rows(named=True):
        assert row["class_name"] in row["caption"].split()
        assert len(row["caption"].split()) <= 12
        assert len(set(row["examples"])) == 3
        assert all(" => " in example for example in row["examples"])
        assert len(row["refused"]) == row["attempt"]
    assert found["examples"].n_unique() > 20
    # Nothing but luck makes it name the class: many attempts are refused, and some items given up.
    assert sum(kind["refused"]["class unnamed"] for kind in counts.values()) > 20
    given_up = sum(sum(kind["given up"].values()) for kind in counts.values())
    assert given_up == 40 - found.height


def test_a_caption_depends_on_its_seed_alone(home: Home, tmp_path: Path, tiny_llm: Path) -> None:
    whole = caption_rows(by_model(home, tiny_llm, block_size=12))
    for batch, shard in ((1, 12), (5, 7)):
        other = Home(tmp_path / f"batches-of-{batch}")
        cut = by_model(other, tiny_llm, {"batch_size": batch}, block_size=12, shard_size=shard)
        assert caption_rows(cut).equals(whole)
    again = caption_rows(by_model(Home(tmp_path / "seed"), tiny_llm, block_size=12, seed=1))
    assert not again["caption"].equals(whole["caption"])


def test_words_are_generated_from_the_nucleus_by_their_shares() -> None:
    import torch

    from sources.captions.language_model import PerRowSampling
    from sources.captions.sampling import Sampling

    shares = torch.tensor([0.05, 0.5, 0.15, 0.3])
    rows = 4000
    sampling = PerRowSampling(range(rows), Sampling(temperature=2.0, top_p=0.9))
    # At a temperature of 2, the logarithms of the squares are those of the shares.
    scores = sampling(torch.zeros(rows, 1), (2 * shares.log()).repeat(rows, 1))
    assert (scores.isfinite().sum(dim=1) == 1).all()
    shares_found = scores.argmax(dim=1).bincount(minlength=4) / rows
    assert shares_found[0] == 0  # 0.5, 0.3 and 0.15 have the mass of 0.9 together.
    for word in (1, 2, 3):
        share = float(shares[word]) / 0.95
        assert abs(float(shares_found[word]) - share) < 4 * (share * (1 - share) / rows) ** 0.5


def test_a_model_that_never_names_a_class_ends_in_one_line(home: Home, tiny_llm: Path) -> None:
    with pytest.raises(BenchError, match="captions of the writer transformers are unfit: of 4"):
        by_model(home, tiny_llm, {"max_tokens": 1}, retries=1, block_size=4)
    assert not list(home.data.glob("captions-*"))


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def configured(**changes: Any) -> Callable[[Path], object]:
    return changed("config.json", lambda old: json.dumps({**json.loads(old), **changes}).encode())


def unpickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (unpickled, "no file named model.safetensors"),
        (changed("model.safetensors", lambda old: old[:500]), "deserializing"),
        (changed("tokenizer.json", lambda _: b"{}"), ""),
        (configured(model_type="nobody's"), "nobody's"),
        (configured(hidden_size=32), ""),
        (configured(num_hidden_layers=3), "9 of its weights are missing"),
    ],
)
def test_a_folder_that_holds_no_whole_model_is_a_wrong_request(
    home: Home, tmp_path: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    folder = write_tiny_llm(tmp_path / "llm")
    spoil(folder)
    with pytest.raises(RequestError, match=f"llm does not load: .*{complaint}.* as safetensors"):
        by_model(home, folder)


def test_a_model_that_reads_too_little_is_a_wrong_request(home: Home, tmp_path: Path) -> None:
    folder = write_tiny_llm(tmp_path / "llm", reads=64)
    with pytest.raises(RequestError, match="reads 64 tokens; a prompt and its caption have"):
        by_model(home, folder)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("nobody/nothing", "bench fetch --model nobody/nothing@REVISION"),
        ("nobody/nothing@v1", "bench fetch --model nobody/nothing@v1"),
        ("../no/such/folder", "give a folder or ORG/NAME@REVISION"),
    ],
)
def test_a_model_that_is_not_here_ends_before_any_work(
    bench: Bench, home: Home, name: str, remedy: str
) -> None:
    settings = ("captions.writer=transformers", f"captions.options.model={name}")
    complaint = refusal(bench, home, "synthetic", *settings)
    assert f"the language model '{name}' is not on this machine" in complaint
    assert remedy in complaint
