"""The user's lines in a traceback: frames of minisk, NumPy and the import system are left out."""

import contextlib
import importlib
import os
import traceback

import numpy as np

_MINISK_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY_FOLDER = os.path.dirname(np.__file__) + os.sep
_NOT_THE_USERS = (_MINISK_FOLDER, _NUMPY_FOLDER, contextlib.__file__, importlib.__file__, "<frozen")


def user_frames(error: BaseException | None) -> list[traceback.FrameSummary]:
    """Return the user's frames that an error passed through, the innermost last; those of its cause if it has none."""
    if error is None:
        return []
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THE_USERS)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append(traceback.FrameSummary(error.filename, error.lineno or 0, "<module>"))
    return frames or user_frames(error.__cause__)


def describe_place(frames: list[traceback.FrameSummary]) -> str:
    """Return "FUNCTION at FILE:LINE": the innermost line, and forward or backward if one of them was running."""
    name = frames[0].name
    for frame in frames:
        if frame.name in ("forward", "backward"):
            name = frame.name
    return f"{name} at {frames[-1].filename}:{frames[-1].lineno}"
