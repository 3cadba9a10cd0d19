"""Sample the rows of the miniature pool: what each image shows and what its caption says."""

from typing import NamedTuple

import numpy as np

from bench.miniworld import captions
from bench.miniworld.render import CLASSES, DISTRACTORS

# Shares of the pool's rows by kind; the rest, 9 %, are unrelated to every task.
KIND_SHARES = {
    "true": 0.52,
    "group": 0.02,
    "wrong_label": 0.05,
    "generic": 0.07,
    "homonym": 0.08,
    "distractor": 0.11,
    "exact_duplicate": 0.02,
    "near_duplicate": 0.03,
    "leak": 0.01,
}
# Of the wrong labels, this share shows another class of the named domain.
WRONG_WITHIN_DOMAIN = 0.6
# Classes are as frequent as 1 / rank ** this: long-tailed, as names on the web are.
TAIL_EXPONENT = 0.6
STATUS_SHARES = {
    "ok": 0.92,
    "404": 0.04,
    "403": 0.01,
    "500": 0.01,
    "html": 0.01,
    "truncated": 0.005,
    "empty": 0.005,
}
# Pool seeds stay below this; the splits of the tasks start far above it.
POOL_SEED_LIMIT = 2**31

# Images per class and first seed of each split of a task. The probe's train split is small beside
# the adaptation sets, as the paper's are. "oracle" trains a classifier that judges generated
# images, "clean" is what the source `rendered` gives; neither is a split of any task.
SPLITS: dict[str, tuple[int, int]] = {
    "train": (40, 3_000_000_000),
    "val": (50, 3_000_100_000),
    "test": (200, 3_000_200_000),
    "oracle": (500, 3_000_300_000),
    "clean": (640, 3_000_400_000),
}
# The pool may hold altered copies of this many test images of each class.
LEAKED = 100


class Draft(NamedTuple):
    """A row without an id: the image, its kind, and the class that its caption names."""

    domain: str
    name: str
    seed: int
    kind: str
    named_domain: str
    named_class: str
    text: str


def sample_rows(size: int, rng: np.random.Generator) -> list[Draft]:
    """Sample all rows in random order, with the exact shares of `KIND_SHARES`."""
    counts = {kind: round(share * size) for kind, share in KIND_SHARES.items()}
    counts["unrelated"] = size - sum(counts.values())
    weights = {domain: _tail_weights(rng, len(names)) for domain, names in CLASSES.items()}
    copies = ("exact_duplicate", "near_duplicate")
    rows = [
        _sample_row(kind, weights, rng)
        for kind, count in counts.items()
        if kind not in copies
        for _ in range(count)
    ]
    sources = [row for row in rows if row.kind != "leak"]
    for kind in copies:
        rows += [_copy(captions.pick(rng, sources), kind, rng) for _ in range(counts[kind])]
    return [rows[index] for index in rng.permutation(size)]


def sample_statuses(size: int, rng: np.random.Generator) -> list[str]:
    """Sample what the server answers for each row."""
    counts = {status: round(share * size) for status, share in STATUS_SHARES.items()}
    counts["ok"] += size - sum(counts.values())
    statuses = [status for status, count in counts.items() for _ in range(count)]
    return [statuses[index] for index in rng.permutation(size)]


def _tail_weights(rng: np.random.Generator, count: int) -> list[float]:
    """Return long-tailed class probabilities, with a random class as the most frequent."""
    weights = rng.permutation(1.0 / np.arange(1, count + 1) ** TAIL_EXPONENT)
    return [float(weight) for weight in weights / weights.sum()]


def _sample_row(kind: str, weights: dict[str, list[float]], rng: np.random.Generator) -> Draft:
    """Sample one row that is not a copy of another."""
    domain = captions.pick(rng, list(CLASSES))
    name = CLASSES[domain][int(rng.choice(len(CLASSES[domain]), p=weights[domain]))]
    shown_domain, shown_name = domain, name
    named_domain, named_class = domain, name
    seed = int(rng.integers(1, POOL_SEED_LIMIT))
    if kind == "wrong_label":
        shown_domain, shown_name = _wrong_image(domain, name, rng)
    elif kind == "generic":
        named_class = ""
    elif kind == "homonym":
        homonym = captions.pick(rng, captions.phrases()["homonyms"])
        shown_domain, shown_name = "other", homonym["kind"]
        named_domain, named_class = homonym["domain"], homonym["name"]
    elif kind == "distractor":
        near = [thing for thing, domains in DISTRACTORS.items() if domain in domains]
        shown_domain, shown_name = "other", captions.pick(rng, near)
    elif kind == "unrelated":
        shown_domain, shown_name = "other", captions.pick(rng, _unrelated_kinds())
        named_domain, named_class = "", ""
    elif kind == "leak":
        seed = SPLITS["test"][1] + int(rng.integers(LEAKED))
    draft = Draft(shown_domain, shown_name, seed, kind, named_domain, named_class, text="")
    return draft._replace(text=_text(draft, rng))


def _wrong_image(domain: str, name: str, rng: np.random.Generator) -> tuple[str, str]:
    """Sample an image that is not what its caption says."""
    if rng.random() < WRONG_WITHIN_DOMAIN:
        return domain, captions.pick(rng, [other for other in CLASSES[domain] if other != name])
    if rng.random() < 0.5:
        return "other", captions.pick(rng, list(DISTRACTORS))
    elsewhere = captions.pick(rng, [other for other in CLASSES if other != domain])
    return elsewhere, captions.pick(rng, list(CLASSES[elsewhere]))


def _unrelated_kinds() -> list[str]:
    """Return the things that captions outside every task talk about."""
    return list(captions.phrases()["unrelated"])


def _copy(source: Draft, kind: str, rng: np.random.Generator) -> Draft:
    """Return the source's image under another caption of the same sort."""
    return source._replace(kind=kind, text=_text(source, rng))


def _text(draft: Draft, rng: np.random.Generator) -> str:
    """Sample a caption for a row by its kind."""
    match draft.kind:
        case "generic":
            return captions.generic_caption(rng, draft.named_domain)
        case "unrelated":
            return captions.unrelated_caption(rng, draft.name)
        case "homonym":
            return captions.homonym_caption(rng, draft.named_domain, draft.named_class, draft.name)
        case "distractor":
            return captions.distractor_caption(
                rng, draft.named_domain, draft.named_class, draft.name
            )
        case "group":
            return captions.group_caption(rng, draft.named_domain, draft.named_class)
        case _:
            return captions.named_caption(rng, draft.named_domain, draft.named_class)
