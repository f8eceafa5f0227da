"""The lowest package: NumPy or CuPy, random numbers, and process-wide settings."""

from .threads import OPENBLAS, Setting, process_settings, set_variable

set_variable(OPENBLAS)  # must run before the next lines, which import NumPy

# isort: split
from .device import (  # noqa: E402
    DEFAULT_FLOAT,
    Array,
    array_module,
    cuda_available,
    device_of,
    full_device_name,
    parse_device,
    storage,
    to_device,
)
from .dtypes import real_array, real_dtype  # noqa: E402
from .random import manual_seed, random_generator, random_state, seeded, set_random_state  # noqa: E402

__all__ = ["DEFAULT_FLOAT", "Array", "array_module", "cuda_available", "device_of", "full_device_name"]
__all__ += ["Setting", "parse_device", "process_settings", "real_array", "real_dtype", "storage", "to_device"]
__all__ += ["manual_seed", "random_generator", "random_state", "seeded", "set_random_state"]
