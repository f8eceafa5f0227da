"""What can be wrong with a gradient before any number is compared: each probe raises `Found` with its verdict.

Where an error comes from is told by the traceback, without the frames of minisk, NumPy and the import system.
"""

import contextlib
import importlib
import itertools
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import errors
from .differences import random_signs
from .report import Row, Verdict
from .subjects import Arrays, Subject

# Two computations of one gradient may differ by this many units of rounding of the larger numbers in them.
ROUNDING = 1000.0
# Whose frames of a traceback say nothing of whose line is at fault.
_PACKAGES = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(np.__file__))
_OTHERS = (*(package + os.sep for package in _PACKAGES), contextlib.__file__, importlib.__file__, "<frozen")


class Found(Exception):
    """A mistake was found: verdict, sentence, and rows if it has a place."""

    def __init__(self, verdict: Verdict, message: str, rows: Sequence[Row] = ()) -> None:
        super().__init__(message)
        self.verdict, self.message, self.rows = verdict, message, list(rows)


def weights_for(subject: Subject, outputs: Arrays, rng: np.random.Generator) -> Arrays:
    """Draw incoming gradients: never the plain sum, which is blind to softmax and its kin."""
    return [random_signs(rng, out.shape).astype(subject.arrays[0].dtype) for out in outputs]


def outputs_of(subject: Subject) -> Arrays:
    """Evaluate twice; both must be finite and equal, and leave the inputs alone."""
    arrays = [a.copy() for a in subject.arrays]
    try:
        outputs = [np.array(out) for out in subject.evaluate(arrays)]
    except errors.DtypeError as error:
        hint = f"Tensors the function brings along become {arrays[0].dtype} too if they are named in params"
        raise errors.DtypeError(f"{error}; {hint}") from error
    _untouched(subject.names, subject.arrays, arrays, "forward wrote to the input")
    for k, out in enumerate(outputs):
        _check_finite(out, f"Output {k} of the function itself")
    again = subject.evaluate(arrays)
    _compare_outputs(outputs, again, Verdict.NONDETERMINISTIC, "differs between two evaluations at one point")
    return outputs


def gradient_of(subject: Subject, weights: Arrays) -> Arrays:
    """Run backward: it must leave alone what it was handed, and be well formed, finite and repeatable."""
    arrays, incoming = ([a.copy() for a in group] for group in (subject.arrays, weights))
    with _translated(subject):
        first = [g.copy() for g in subject.gradients(arrays, incoming)]
    _untouched(subject.names, subject.arrays, arrays, "backward wrote to the input")
    _untouched(range(len(weights)), weights, incoming, "backward wrote to the incoming gradient of output")
    try:
        with _translated(subject):
            watched = subject.gradients_twice(arrays, incoming)
    except errors.NotFiniteError as error:
        if any(not np.isfinite(g).all() for g in first):
            raise Found(Verdict.NOT_FINITE, f"{error}.") from error
        watched = first, subject.gradients(arrays, incoming)  # on the way only: what arrives is finite
    for name, gradient in zip(subject.names, first, strict=True):
        _check_finite(gradient, f"The gradient of {name!r}")
    size = magnitude(subject, subject.evaluate(arrays), weights, first)
    _compare(subject, first, watched[0], size, Verdict.NONDETERMINISTIC, "differs from one run to the next")
    _compare(subject, first, watched[1], size, Verdict.SAVED_CHANGED, "differs between two backwards of one forward")
    return first


@contextlib.contextmanager
def _translated(subject: Subject) -> Iterator[None]:
    """Turn what backward raises into a verdict; NaN and infinity are judged by the caller."""
    try:
        yield
    except errors.NotFiniteError:
        raise
    except (errors.OverwrittenError, errors.SavedValueError) as error:
        is_saved = isinstance(error, errors.SavedValueError)
        raise Found(Verdict.SAVED_CHANGED if is_saved else Verdict.OVERWRITTEN, f"{error}.") from error
    except (errors.ShapeError, errors.DtypeError, errors.DeviceError) as error:
        frames = users_frames(error)  # none if it is what backward returned that is wrong
        where = f", raised in {place(frames)}: {frames[-1].line}" if frames else "."
        raise Found(Verdict.MALFORMED, f"{error}{where}") from error
    except errors.GraphError as error:
        raise Found(Verdict.MALFORMED if subject.order == 1 else Verdict.HIGHER_ORDER, f"{error}.") from error


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


def _check_finite(array: Any, what: str) -> None:
    if not np.isfinite(array).all():
        at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise Found(Verdict.NOT_FINITE, f"{what} is {array[at]} at element {list(at)}.")


def check_linear(subject: Subject, weights: Arrays, gradients: Arrays, others: Arrays) -> None:
    """Backward of w + 64·w' must be that of w plus 64 times that of w'."""
    mixed = [w + 64 * o for w, o in zip(weights, others, strict=True)]
    second, together = subject.gradients(subject.arrays, others), subject.gradients(subject.arrays, mixed)
    size = magnitude(subject, subject.evaluate(subject.arrays), weights, gradients)
    expected = [a + 64 * b for a, b in zip(gradients, second, strict=True)]
    what = "for w + 64·w' is not that for w plus 64 times that for w'"
    _compare(subject, expected, together, 64 * size, Verdict.NOT_LINEAR, what)


def check_layouts(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
    """The same numbers lying differently in memory must have the same outputs and gradients."""
    size = magnitude(subject, outputs, weights, gradients)
    for what, lay in (("transposed", lambda a: np.array(a, order="F")), ("strided", _strided)):
        arrays, incoming = [lay(a) for a in subject.arrays], [lay(w) for w in weights]
        where = f"wrong for {what} (non-contiguous) arrays only"
        _compare_outputs(outputs, subject.evaluate(arrays), Verdict.WRONG, f"is {where}")
        _compare(subject, gradients, subject.gradients(arrays, incoming), size, Verdict.WRONG, f"is {where}")


def check_repeated(subject: Subject, weights: Arrays) -> None:
    """One object passed as two inputs must get the sum of the gradients that two copies of it get."""
    shapes = [a.shape for a in subject.arrays[: subject.inputs]]
    for i, j in itertools.combinations(range(len(shapes)), 2):
        if shapes[i] != shapes[j]:
            continue
        arrays = [a.copy() for a in subject.arrays]
        arrays[j] = arrays[i].copy()
        try:
            outputs, apart = subject.evaluate(arrays), subject.gradients(arrays, weights)
        except (errors.MiniskError, ValueError):
            continue  # not a point this function takes: nothing is promised there
        total = apart[i] + apart[j]
        if all(np.isfinite(values).all() for values in (*outputs, total)):
            size = magnitude(subject, outputs, weights, apart)
            together = subject.repeated_gradient(arrays, weights, i, j)
            what = f"is wrong for one tensor passed as both {subject.names[i]!r} and {subject.names[j]!r} only"
            _compare(subject, {i: total}, {i: together}, size, Verdict.WRONG, what)


def magnitude(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> float:
    """Return how large the numbers are whose rounding shows in Σ w·f: the weighted outputs, and g·x."""
    parts = [w * out for w, out in zip(weights, outputs, strict=True)]
    parts += [g * x for g, x in zip(gradients, subject.arrays, strict=True)]
    return float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts)))


def scale_of(array: Any) -> float:
    """Return the root mean square of an array, in which its steps are measured; 1 for zeros."""
    return float(np.sqrt(np.square(array, dtype=np.float64).mean())) or 1.0 if array.size else 1.0


def _compare_outputs(expected: Arrays, found: Arrays, verdict: Verdict, what: str) -> None:
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a.shape != b.shape or _apart(a, b, 0.0).any():
            raise Found(verdict, f"Output {k} {what}.")


def _compare(subject: Subject, expected: Any, found: Any, size: float, verdict: Verdict, what: str) -> None:
    """Raise Found where a gradient is not what it was under other circumstances; with rows, if it is wrong."""
    keys = expected if isinstance(expected, dict) else range(len(expected))
    for i in keys:
        scale = scale_of(subject.arrays[i])
        apart = _apart(expected[i], found[i], size / scale)
        if apart.any():
            off = np.abs(found[i] - expected[i])
            worst = sorted(map(tuple, np.argwhere(apart).tolist()), key=lambda at: -off[at])
            estimate = float(np.finfo(expected[i].dtype).eps) * size / scale
            name = subject.names[i]
            rows = [Row(name, at, float(found[i][at]), float(expected[i][at]), estimate, "differs") for at in worst]
            message = f"The gradient of {name!r} {what}: {len(rows)} elements."
            raise Found(verdict, message, rows if verdict is Verdict.WRONG else [])


def _apart(a: Any, b: Any, size: float) -> Any:
    """Where two arrays differ by more than rounding; NaN differs from everything."""
    allowed = ROUNDING * np.finfo(a.dtype).eps * max(size, float(np.abs(a).max(initial=0)))
    return ~(np.abs(a.astype(np.float64) - b) <= allowed)


def _untouched(names: Iterable[Any], before: Arrays, after: Arrays, what: str) -> None:
    for name, a, b in zip(names, before, after, strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            raise Found(Verdict.OVERWRITTEN, f"{what} {name!r}.")


def _strided(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
