"""A strict stand-in for CuPy: arrays over NumPy that behave as if they were on a GPU, for tests where there is none.

    with installed() as counts:      # `import cupy` gives the stand-in, and minisk finds a "GPU"
        ...
    counts.syncs, counts.kernels     # what waited for the device, and which kernels were launched

It is held to api.json, a snapshot of the real CuPy's names, arguments and errors (tools/cupy_snapshot.py): a name that
the real one lacks is an AttributeError, NumPy arrays do not mix with its own, memory is never shared with NumPy.
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
    """Put the stand-in in the place of `cupy` and `cupyx` for a while; kernels run in this mode of the CPU executor."""
    stand_ins = {"cupy": modules.make_cupy(), "cupyx": modules.make_cupyx()}
    before = {name: sys.modules.get(name) for name in stand_ins}
    available = device.cuda_available
    mode_before, RawModule.mode = RawModule.mode, mode
    LEDGER.clear()
    arrays.Device.current = 0
    sys.modules.update(stand_ins)
    device.cuda_available = lambda: True
    users = [m for m in list(sys.modules.values()) if getattr(m, "cuda_available", None) is available]
    for module in users:  # `from .device import cuda_available` made names of their own
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
