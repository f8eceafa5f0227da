"""Where an error comes from: the user's frames of a traceback, without those of minisk, NumPy and the import system."""

from __future__ import annotations

import contextlib
import importlib
import os
import traceback

import numpy as np

_PACKAGES = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(np.__file__))
_OTHERS = (*(package + os.sep for package in _PACKAGES), contextlib.__file__, importlib.__file__, "<frozen")


def users_frames(error: BaseException | None) -> list[traceback.FrameSummary]:
    """Return the user's frames that an error, or else its cause, came through, the innermost last."""
    if error is None:
        return []
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_OTHERS)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append(traceback.FrameSummary(error.filename, error.lineno or 0, "<module>"))
    return frames or users_frames(error.__cause__)


def place(frames: list[traceback.FrameSummary]) -> str:
    """Name the function at fault (forward or backward if one of them was running) and the innermost line."""
    function = next((f.name for f in reversed(frames) if f.name in ("forward", "backward")), frames[0].name)
    return f"{function} at {frames[-1].filename}:{frames[-1].lineno}"
