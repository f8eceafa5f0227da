"""A strict stand-in for CuPy: arrays over NumPy that behave like arrays on a GPU, for tests without a GPU.

    with installed() as counts:      # `import cupy` imports the stand-in, and minisk finds a "GPU"
        ...
    counts.syncs, counts.kernels     # the lines that waited for the device, and the kernels that were launched

api.json limits it to the names, arguments and errors of the real CuPy (tools/cupy_snapshot.py records them). A name
that CuPy lacks is an AttributeError. NumPy arrays do not mix with its arrays, and memory is never shared with NumPy.
Kernels are built from the same source and run by minisk's CPU executor.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from minisk.backend import device, random

from . import arrays, modules
from .kernels import RawModule
from .ledger import LEDGER, Ledger

__all__ = ["Ledger", "installed"]


@contextlib.contextmanager
def installed(mode: str = "cpu") -> Iterator[Ledger]:
    """Replace `cupy` and `cupyx` by the stand-in for a `with` block. Kernels run in this mode of the CPU executor."""
    stand_ins = {"cupy": modules.make_cupy(), "cupyx": modules.make_cupyx()}
    before = {name: sys.modules.get(name) for name in stand_ins}
    available = device.cuda_available
    mode_before, RawModule.mode = RawModule.mode, mode
    LEDGER.clear()
    arrays.Device.current = 0
    sys.modules.update(stand_ins)
    device.cuda_available = lambda: True
    users = [m for m in list(sys.modules.values()) if getattr(m, "cuda_available", None) is available]
    for module in users:  # `from .device import cuda_available` bound the function to names of its own
        module.cuda_available = device.cuda_available
    try:
        yield LEDGER
    finally:
        RawModule.mode = mode_before
        for module in [device, *users]:
            module.cuda_available = available
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
        for name in [name for name in random._streams.generators if name != "cpu"]:
            del random._streams.generators[name]
