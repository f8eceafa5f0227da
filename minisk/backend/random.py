"""minisk's own random numbers (initial weights, dropout, `ms.rand`): one seeded generator for each device."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError
from .device import parse_device


class _Streams:
    """One seed for all devices (None: from the system), and the generators by device name, made on first use."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.generators: dict[str, Any] = {}


_streams = _Streams()  # of all threads


class _Replaced(threading.local):
    """The streams of a thread inside `seeded`: no other thread draws from them."""

    streams: _Streams | None = None


_replaced = _Replaced()


def manual_seed(seed: int) -> None:
    """Seed all of minisk's random numbers on every device: initial weights, dropout, `ms.rand` and `ms.randn`.

    Threads share them. Raises DtypeError or ShapeError unless the seed is an integer of at least 0.
    """
    if not isinstance(seed, int | np.integer):
        raise DtypeError(f"manual_seed: expected an integer, got {seed!r}")
    if seed < 0:
        raise ShapeError(f"manual_seed: expected an integer of at least 0, got {seed}")
    streams = _current()
    streams.seed = int(seed)
    streams.generators.clear()


def _current() -> _Streams:
    return _replaced.streams or _streams


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Use new generators inside a `with` block, in this thread; afterwards, continue with the earlier ones."""
    before = _replaced.streams
    _replaced.streams = _Streams(seed)
    try:
        yield
    finally:
        _replaced.streams = before


def random_generator(device: str = "cpu") -> Any:
    """Return minisk's generator for a device: NumPy's or CuPy's `Generator`.

    Args:
        device: a full name: "cpu" or "cuda:INDEX".
    """
    streams = _current()
    if device not in streams.generators and device == "cpu":
        # setdefault: of two threads that come first, both get one generator
        streams.generators.setdefault(device, np.random.default_rng(streams.seed))
    elif device not in streams.generators:
        import cupy

        with cupy.cuda.Device(parse_device(device)[1]):
            streams.generators.setdefault(device, cupy.random.default_rng(streams.seed))
    return streams.generators[device]


def random_state() -> dict[str, Any]:
    """Return the seed and the state of the CPU's generator, as JSON; `set_random_state` continues from there.

    A GPU's generator is not included, because CuPy does not expose its state.
    """
    return {"seed": _current().seed, "cpu": random_generator().bit_generator.state}


def set_random_state(state: dict[str, Any]) -> None:
    """Continue from a random_state(). A GPU's generator starts again from the seed. Raises TypeError, LookupError."""
    streams = _current()
    streams.seed = state["seed"]
    streams.generators.clear()
    random_generator().bit_generator.state = state["cpu"]
