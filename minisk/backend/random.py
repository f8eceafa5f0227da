"""Random numbers that minisk draws itself (initial weights, dropout): one seeded generator per device."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .device import parse_device

# Generators are made on first use.
_streams = SimpleNamespace(seed=None, generators={})


def manual_seed(seed: int) -> None:
    """Seed every random number that minisk draws itself: initial weights and dropout, on every device."""
    _streams.seed = int(seed)
    _streams.generators.clear()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from freshly seeded generators inside; afterwards, go on with those from before."""
    before = _streams.seed, _streams.generators
    _streams.seed, _streams.generators = seed, {}
    try:
        yield
    finally:
        _streams.seed, _streams.generators = before


def random_generator(device: str = "cpu") -> Any:
    """Return the generator (NumPy's or CuPy's `Generator`) that minisk draws from on this device."""
    if device not in _streams.generators and device == "cpu":
        _streams.generators[device] = np.random.default_rng(_streams.seed)
    elif device not in _streams.generators:
        import cupy

        with cupy.cuda.Device(parse_device(device)[1]):
            _streams.generators[device] = cupy.random.default_rng(_streams.seed)
    return _streams.generators[device]


def random_state() -> dict[str, Any]:
    """Return, as JSON, the seed and where the CPU's generator is: what `set_random_state` needs to go on from here.

    CuPy does not tell where a GPU's generator is, so that one is not in it.
    """
    return {"seed": _streams.seed, "cpu": random_generator().bit_generator.state}


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a random_state(). A GPU's generator starts again from the seed. Raises TypeError, LookupError."""
    _streams.seed = state["seed"]
    _streams.generators.clear()
    random_generator().bit_generator.state = state["cpu"]
