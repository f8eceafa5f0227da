"""The lowest package: NumPy or CuPy, random numbers, and process-wide settings."""

from .threads import OPENBLAS, Setting, freed_memory_kept, process_settings, variable

with variable(OPENBLAS):  # before the next lines, which would import NumPy without it
    import numpy  # noqa: F401

# isort: split
from .device import (
    DEFAULT_FLOAT,
    Array,
    array_module,
    cuda_available,
    device_of,
    empty_cache,
    full_device_name,
    parse_device,
    storage,
    to_device,
)
from .dtypes import real_array, real_dtype
from .random import manual_seed, random_generator, random_state, seeded, set_random_state

__all__ = ["DEFAULT_FLOAT", "Array", "array_module", "cuda_available", "device_of", "full_device_name"]
__all__ += ["Setting", "empty_cache", "freed_memory_kept", "parse_device", "process_settings"]
__all__ += ["real_array", "real_dtype", "storage", "to_device"]
__all__ += ["manual_seed", "random_generator", "random_state", "seeded", "set_random_state"]
