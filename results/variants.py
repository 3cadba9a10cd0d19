"""Which runs of one source are different experiments, and what tells them apart."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from bench.core.json_values import Json, canonical_json
from bench.core.records import RunRecord
from bench.core.specs import RunSpec

# Other images to learn from, not other hyper-parameters: validation data must not choose between
# them.
_OPTIONS = ("pool", "path", "parts", "generator")


def variant(spec: RunSpec) -> Json:
    """Return what makes a run's images an experiment of their own; nothing for no images."""
    return {} if spec.source == "none" else {**_chosen(spec.options), "order": spec.order}


def labels(records: Iterable[RunRecord]) -> dict[str, str]:
    """Name each run's line: its source, and what tells variants apart where there are several.

    Returns:
        Run id to label.
    """
    groups: dict[tuple[str, ...], list[RunRecord]] = defaultdict(list)
    for record in records:
        spec = record.spec
        groups[spec.preset, spec.task, spec.model, spec.objective, spec.source].append(record)
    found: dict[str, str] = {}
    for own in groups.values():
        variants = {record.run_id: variant(record.spec) for record in own}
        texts = _texts({canonical_json(one): one for one in variants.values()})
        for record in own:
            text = texts[canonical_json(variants[record.run_id])]
            found[record.run_id] = f"{record.spec.source} {text}".strip()
    return found


def _chosen(options: Json) -> Json:
    """Return the options that count, those of a mixture's parts as ``PART.OPTION``."""
    own = {name: options[name] for name in _OPTIONS if name in options}
    parts = options.get("options")
    for part, inner in parts.items() if isinstance(parts, dict) else ():
        if isinstance(inner, dict):
            own |= {f"{part}.{name}": value for name, value in _chosen(inner).items()}
    return own


def _texts(variants: dict[bytes, Json]) -> dict[bytes, str]:
    """Describe variants by what differs between them; in full where that is not enough."""
    names = sorted({name for one in variants.values() for name in one})
    spelt = {name: {canonical_json(one.get(name)) for one in variants.values()} for name in names}
    differing = [name for name in names if len(spelt[name]) > 1]
    texts = {
        key: " ".join(_short(one[name]) for name in differing if name in one)
        for key, one in variants.items()
    }
    if len(set(texts.values())) == len(texts):
        return texts
    return {
        key: canonical_json({name: one[name] for name in differing if name in one}).decode()
        for key, one in variants.items()
    }


def _short(value: object) -> str:
    """Return a mixture's shares as ``0.3:0.7``, a path as its last part."""
    if isinstance(value, dict):
        return ":".join(str(value[name]) for name in sorted(value))
    return PurePath(str(value)).name
