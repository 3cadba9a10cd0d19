"""Tensors that say they are on the card, and the functions of `torch.cuda` that ask about it."""

# mypy: ignore-errors
# It puts other things in the place of torch's own.

import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)
MEMORY = 80 * 2**30

waits: Counter[str] = Counter()
"""How often each operation made the program wait for the device."""

_GENERATOR = torch.Generator

_on_card: set[int] = set()
"""Generators of the card; the dispatcher gives them other Python objects."""

_MIXING = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor} | {
    getattr(aten, name).default for name in ("index_put", "index_put_", "_index_put_impl_")
}
"""Operations that take tensors of both devices: copies, and places given by indices."""


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; `elem` holds its values."""

    elem: torch.Tensor

    @staticmethod
    def __new__(cls, elem: torch.Tensor, requires_grad: bool = False) -> "OnCard":
        made = torch.Tensor._make_wrapper_subclass(
            cls, elem.size(), strides=elem.stride(), storage_offset=elem.storage_offset(),
            dtype=elem.dtype, layout=elem.layout, device=CUDA, requires_grad=requires_grad,
        )  # fmt: skip
        made.elem = elem
        return made

    def __repr__(self) -> str:
        return f"OnCard({self.elem!r})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["elem"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, meta: Any, size: Any, stride: Any) -> "OnCard":
        return OnCard(inner["elem"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Dispatch(TorchDispatchMode):
    """Takes also what has no tensor of the card yet, such as ``randn(device="cuda")``."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat = tree_flatten((args, kwargs))[0]
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    on_card = _is_on_card(func, args, kwargs, tensors)
    _check(func, flat, tensors, on_card)
    if func is aten._local_scalar_dense.default or (
        func in (aten._to_copy.default, aten.copy_.default)
        and not on_card
        and any(isinstance(tensor, OnCard) for tensor in tensors)
    ):
        waits[func.name()] += any(isinstance(tensor, OnCard) for tensor in tensors)
    replaced = {"device": torch.device("cpu"), "pin_memory": False}
    there = {name: replaced[name] for name in replaced if kwargs.get(name) is not None}
    if "device" in there and torch.device(kwargs["device"]).type == "meta":
        del there["device"]  # Tensors without values stay so, and are filled where they are needed.
    plain_args, plain_kwargs = tree_map(_plain, (args, {**kwargs, **there}))
    with _disable_current_modes():
        out = func(*plain_args, **plain_kwargs)
    if not on_card:
        return out
    out = tree_map_only(torch.Tensor, OnCard, out)
    try:
        return return_and_correct_aliasing(func, args, kwargs, out)
    except (AssertionError, RuntimeError, TypeError, AttributeError):
        return out  # The schema says nothing of aliases.


def _is_on_card(func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> bool:
    """Return whether the result is on the card."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"]).type == "cuda"
    if func in _MIXING and args:
        return isinstance(args[0], OnCard)
    return any(isinstance(tensor, OnCard) for tensor in tensors)


def _check(func: Any, flat: list[Any], tensors: list[torch.Tensor], on_card: bool) -> None:
    kinds = {isinstance(tensor, OnCard) for tensor in tensors if tensor.dim() or func in _MIXING}
    if len(kinds) > 1 and func not in _MIXING:
        shapes = [(type(tensor).__name__, tuple(tensor.shape)) for tensor in tensors]
        raise RuntimeError(f"tensors of two devices: {func.name()} of {shapes}")
    for value in flat:
        if isinstance(value, _GENERATOR) and (value._cdata in _on_card) != on_card:
            raise RuntimeError(f"a generator of the other device: {func.name()}")


def _plain(value: Any) -> Any:
    return value.elem if isinstance(value, OnCard) else value


class _Generator(_GENERATOR):
    def __new__(cls, device: Any = "cpu") -> "_Generator":
        made = super().__new__(cls, "cpu")
        if torch.device(device).type == "cuda":
            _on_card.add(made._cdata)
        else:
            _on_card.discard(made._cdata)  # A place in memory that is used again.
        return made

    @property
    def device(self) -> torch.device:
        return CUDA if self._cdata in _on_card else torch.device("cpu")


class _Stream:
    """A stream or an event of which everything is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def query(self) -> bool:
        return True

    def elapsed_time(self, *_: Any) -> float:
        return 1.0

    def _nothing(self, *_: Any) -> None:
        pass

    def record_event(self, *_: Any) -> "_Stream":
        return self

    wait = record = synchronize = wait_stream = wait_event = _nothing


def install() -> None:
    """Make this process see the card."""
    # Remembered as they are: what `torch.device("meta")` as a context sets the device of.
    _device_constructors()
    described = {
        "name": "Pretended", "total_memory": MEMORY, "major": 9, "minor": 0,
        "multi_processor_count": 132, "warp_size": 32,
    }  # fmt: skip
    answers: dict[str, Any] = {
        "is_available": True, "device_count": 1, "current_device": 0, "is_initialized": True,
        "get_device_name": "Pretended", "get_device_capability": (9, 0), "memory_allocated": 0,
        "get_device_properties": SimpleNamespace(**described), "is_bf16_supported": True,
        "mem_get_info": (MEMORY, MEMORY), "max_memory_allocated": 0, "max_memory_reserved": 0,
        "memory_reserved": 0, "get_rng_state_all": [], "get_rng_state": torch.zeros(1),
    }  # fmt: skip
    answers |= dict.fromkeys(
        (
            "set_device", "synchronize", "empty_cache", "reset_peak_memory_stats", "manual_seed",
            "manual_seed_all", "set_rng_state", "set_rng_state_all", "_lazy_init", "init",
        )
    )  # fmt: skip
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, _answer=answer, **__: _answer)
    torch.cuda.set_per_process_memory_fraction = _limit
    for name in ("Stream", "Event", "current_stream", "default_stream"):
        setattr(torch.cuda, name, _Stream)
    torch.cuda.stream = lambda stream: stream
    torch.Generator = _Generator
    _patch_tensors()
    # Kernels that only a card has, chosen by its properties.
    for kind in ("flash", "mem_efficient", "cudnn"):
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(False)
    torch.backends.cudnn.enabled = False
    torch.inference_mode = torch.no_grad  # Its tensors cannot hold others.
    _Dispatch().__enter__()
    run = threading.Thread.run

    def run_with_card(thread: threading.Thread) -> None:
        with _Dispatch():
            run(thread)

    threading.Thread.run = run_with_card


def _limit(fraction: float, device: Any = None) -> None:
    """Refuse what the card's refuses: a device that has no number, and no fraction."""
    if device is not None:
        torch.cuda._utils._get_device_index(device)
    if not 0 <= fraction <= 1:
        raise ValueError(f"invalid fraction of memory: {fraction}")


def _patch_tensors() -> None:
    """Replace what does not go through the dispatcher."""
    listed = torch.Tensor.tolist
    changes: dict[str, Any] = {
        "tolist": lambda self: listed(self.detach().cpu() if isinstance(self, OnCard) else self),
        "pin_memory": lambda self, *_: self,
        "is_pinned": lambda *_: False,
        "record_stream": lambda *_: None,
    }
    for name, change in changes.items():
        setattr(torch.Tensor, name, change)
    save = torch.save
    torch.save = lambda saved, *args, **named: save(
        tree_map_only(OnCard, lambda tensor: tensor.detach().cpu(), saved), *args, **named
    )
    for name in ("tensor", "as_tensor"):
        setattr(torch, name, _made_on_device(getattr(torch, name)))


def _made_on_device(make: Any) -> Any:
    def made(data: Any, *args: Any, device: Any = None, **named: Any) -> Any:
        if isinstance(data, OnCard):
            return data.to(device or CUDA, *args, **named)
        out = make(data, *args, **named)
        return out if device is None else out.to(device)

    return made
