"""A record of the events on the "GPU": waits, launches, and copies to the device."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field

_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Ledger:
    """Counts of events.

    syncs: the line of code behind each wait for the device.
    kernels: launches of kernels, by name.
    operations: calls of CuPy functions that compute or copy, by name. The real CuPy may need several launches for one.
    uploads: copies to the device.
    """

    syncs: list[str] = field(default_factory=list)
    kernels: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    uploads: int = 0

    def clear(self) -> None:
        """Delete all events."""
        self.syncs.clear()
        self.kernels.clear()
        self.operations.clear()
        self.uploads = 0

    def synchronize(self) -> None:
        """Record that the host waits for the device, with the line outside the stand-in that waits."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
            frame = frame.f_back
        self.syncs.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}")


LEDGER = Ledger()
