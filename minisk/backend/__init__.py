"""The lowest package: NumPy or CuPy, random numbers, and process-wide settings."""

from .threads import Setting, configure_blas, process_settings

configure_blas()  # before NumPy is imported, which the next lines do

# isort: split
from .device import (  # noqa: E402
    DEFAULT_FLOAT,
    Array,
    array_module,
    cuda_available,
    device_of,
    parse_device,
    storage,
    to_device,
)
from .random import manual_seed, random_generator, random_state, seeded, set_random_state  # noqa: E402

__all__ = [
    "DEFAULT_FLOAT",
    "Array",
    "Setting",
    "array_module",
    "cuda_available",
    "device_of",
    "manual_seed",
    "parse_device",
    "process_settings",
    "random_generator",
    "random_state",
    "seeded",
    "set_random_state",
    "storage",
    "to_device",
]
