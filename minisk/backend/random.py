"""minisk's own random numbers (initial weights, dropout, `ms.rand`): one seeded generator for each device."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .device import parse_device

# One seed for all devices (None: from the system), and the generators by device name, made on first use.
_streams = SimpleNamespace(seed=None, generators={})


def manual_seed(seed: int) -> None:
    """Seed all of minisk's random numbers on every device: initial weights, dropout, `ms.rand` and `ms.randn`."""
    _streams.seed = int(seed)
    _streams.generators.clear()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Use freshly seeded generators inside a `with` block; afterwards, continue with the earlier ones."""
    before = _streams.seed, _streams.generators
    _streams.seed, _streams.generators = seed, {}
    try:
        yield
    finally:
        _streams.seed, _streams.generators = before


def random_generator(device: str = "cpu") -> Any:
    """Return minisk's generator for a device: NumPy's or CuPy's `Generator`.

    Args:
        device: a full name: "cpu" or "cuda:INDEX".
    """
    if device not in _streams.generators and device == "cpu":
        _streams.generators[device] = np.random.default_rng(_streams.seed)
    elif device not in _streams.generators:
        import cupy

        with cupy.cuda.Device(parse_device(device)[1]):
            _streams.generators[device] = cupy.random.default_rng(_streams.seed)
    return _streams.generators[device]


def random_state() -> dict[str, Any]:
    """Return the seed and the state of the CPU's generator, as JSON; `set_random_state` continues from there.

    A GPU's generator is not included, because CuPy does not expose its state.
    """
    return {"seed": _streams.seed, "cpu": random_generator().bit_generator.state}


def set_random_state(state: dict[str, Any]) -> None:
    """Continue from a random_state(). A GPU's generator starts again from the seed. Raises TypeError, LookupError."""
    _streams.seed = state["seed"]
    _streams.generators.clear()
    random_generator().bit_generator.state = state["cpu"]
