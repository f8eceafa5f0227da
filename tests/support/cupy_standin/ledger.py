"""What happened on the "GPU": who waited for it, what was launched, what was sent there."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field

_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Ledger:
    """syncs: the line of code behind each wait; kernels, operations: launches by name; uploads: copies to the device.

    An operation is one call of a CuPy function that computes or copies; the real one may need several launches for it.
    """

    syncs: list[str] = field(default_factory=list)
    kernels: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    uploads: int = 0

    def clear(self) -> None:
        """Forget what happened so far."""
        self.syncs.clear()
        self.kernels.clear()
        self.operations.clear()
        self.uploads = 0

    def synchronize(self) -> None:
        """Note that the host waits for the device, and which line makes it wait."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
            frame = frame.f_back
        self.syncs.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}")


LEDGER = Ledger()
