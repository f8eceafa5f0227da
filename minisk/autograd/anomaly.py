"""Anomaly mode: slow checks that find where a gradient goes wrong. Each thread has its own mode."""

from __future__ import annotations

import linecache
import os
import sys
import zlib

import numpy as np

from ..backend import Array, to_device
from .grad_mode import Mode, State

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


state = State(False)


def detect_anomaly() -> Mode:
    """Return a context in which every gradient and every saved array is checked: `with ms.detect_anomaly(): …`.

    Run forward and backward inside. Backward then raises AnomalyError for a gradient that is NaN or infinite, for an
    array saved for backward that was written to, and for a backward that overwrites its incoming gradient. Each
    error names the operation, and the user's line that called it. Slow: every saved array is summed and compared.
    """
    return Mode(state, True)


def checksum(array: Array) -> int:
    """Return the CRC-32 of the array's values."""
    return zlib.crc32(np.ascontiguousarray(to_device(array, "cpu")).tobytes())


def user_line() -> str:
    """Return file, number and text of the innermost line on the stack that is not part of minisk."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    path, line = frame.f_code.co_filename, frame.f_lineno
    return f"{path}:{line} ({linecache.getline(path, line).strip()})"
