"""Web-like captions of the miniature world.

The phrases live in `captions.yaml`; this module samples from them. Every caption that names a class
contains the class's query, noise or not, because retrieval finds images by that substring.
"""

from functools import cache
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np
import yaml

LOWER_CASE_SHARE = 0.4
NOISE_SHARE = 0.12

Choice = TypeVar("Choice")


class ClassPhrases(TypedDict):
    """How captions call one class."""

    query: str
    aliases: list[str]


class DomainPhrases(TypedDict):
    """The phrases of one domain; each list is sampled uniformly."""

    words: list[str]
    classes: dict[str, ClassPhrases]
    scenes: list[str]
    forms: list[str]
    generic: list[str]
    groups: list[str]


class Homonym(TypedDict):
    """Captions with a class's query that mean something else, and the kind of image they show."""

    domain: str
    name: str
    kind: str
    captions: list[str]


class Phrases(TypedDict):
    """All of `captions.yaml`."""

    domains: dict[str, DomainPhrases]
    qualities: list[str]
    prefixes: list[str]
    suffixes: list[str]
    homonyms: list[Homonym]
    distractors: dict[str, list[str]]
    unrelated: dict[str, list[str]]


@cache
def phrases() -> Phrases:
    """Return the phrase lists, read once per process."""
    text = Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8")
    loaded: Phrases = yaml.safe_load(text)
    return loaded


def query(domain: str, name: str) -> str:
    """Return the substring by which retrieval finds the captions of a class.

    Raises:
        ValueError: The domain or the class does not exist.
    """
    classes = _domain(domain)["classes"]
    if name not in classes:
        raise ValueError(f"no class {name!r} in {domain}; choose one of {', '.join(classes)}")
    return classes[name]["query"]


def named_caption(rng: np.random.Generator, domain: str, name: str) -> str:
    """Sample a caption that names a class and shows it."""
    form = pick(rng, _domain(domain)["forms"])
    return _caption(rng, domain, form, keep=query(domain, name), name=_alias(rng, domain, name))


def group_caption(rng: np.random.Generator, domain: str, name: str) -> str:
    """Sample a caption that names a class together with another one of its domain."""
    others = [other for other in _domain(domain)["classes"] if other != name]
    pair = [_alias(rng, domain, name), _alias(rng, domain, pick(rng, others))]
    first, second = rng.permutation(pair).tolist()
    form = pick(rng, _domain(domain)["groups"])
    return _caption(rng, domain, form, keep=query(domain, name), first=first, second=second)


def generic_caption(rng: np.random.Generator, domain: str) -> str:
    """Sample a caption that names the domain but no class."""
    return _caption(rng, domain, pick(rng, _domain(domain)["generic"]))


def homonym_caption(rng: np.random.Generator, domain: str, name: str, kind: str) -> str:
    """Sample a caption in which a class's query means the thing `kind`."""
    texts = [
        text
        for homonym in phrases()["homonyms"]
        if (homonym["domain"], homonym["name"], homonym["kind"]) == (domain, name, kind)
        for text in homonym["captions"]
    ]
    return _caption(rng, domain, pick(rng, texts), keep=query(domain, name))


def distractor_caption(rng: np.random.Generator, domain: str, name: str, kind: str) -> str:
    """Sample a caption that names a class but shows a thing near it: a toy, a part, a pattern."""
    form = pick(rng, phrases()["distractors"][kind])
    return _caption(rng, domain, form, keep=query(domain, name), name=_alias(rng, domain, name))


def unrelated_caption(rng: np.random.Generator, kind: str) -> str:
    """Sample a caption of an image that belongs to no domain."""
    domain = pick(rng, list(phrases()["domains"]))
    return _caption(rng, domain, pick(rng, phrases()["unrelated"][kind]))


def pick(rng: np.random.Generator, choices: list[Choice]) -> Choice:
    """Sample one element uniformly."""
    return choices[int(rng.integers(len(choices)))]


def _domain(domain: str) -> DomainPhrases:
    domains = phrases()["domains"]
    if domain not in domains:
        raise ValueError(f"no domain {domain!r}; choose one of {', '.join(domains)}")
    return domains[domain]


def _alias(rng: np.random.Generator, domain: str, name: str) -> str:
    return pick(rng, _domain(domain)["classes"][name]["aliases"])


def _caption(rng: np.random.Generator, domain: str, form: str, keep: str = "", **names: str) -> str:
    """Fill a form, dress it as found on the web and add noise that leaves `keep` readable."""
    lists = phrases()
    dressed = pick(rng, lists["prefixes"]) + form + pick(rng, lists["suffixes"])
    text = dressed.format(
        scene=pick(rng, _domain(domain)["scenes"]),
        word=pick(rng, _domain(domain)["words"]),
        quality=pick(rng, lists["qualities"]),
        number=int(rng.integers(10, 9999)),
        year=int(rng.integers(1998, 2024)),
        price=int(rng.integers(9, 300)) * 100,
        **names,
    )
    if rng.random() < LOWER_CASE_SHARE:
        text = text.lower()
    if rng.random() < NOISE_SHARE:
        noisy = _noise(rng, text)
        text = noisy if keep.lower() in noisy.lower() else text
    return text


def _noise(rng: np.random.Generator, text: str) -> str:
    """Return the text as careless people and programs write it."""
    position = int(rng.integers(len(text)))
    variants = [
        text[:position] + text[position + 1 :],
        text[:position] + text[position : position + 1] * 2 + text[position + 1 :],
        text.replace(" ", "-").lower() + ".jpg",
        text.replace(" ", "_") + ".png",
        text.replace(" ", "  "),
        text.upper(),
        f'"{text}"',
        text + " " + text,
    ]
    return pick(rng, variants)
