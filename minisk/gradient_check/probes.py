"""What can be wrong with a gradient before any number is compared: each probe raises `Found` with its verdict."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import (
    DeviceError,
    DtypeError,
    GraphError,
    MiniskError,
    NotFiniteError,
    OverwrittenError,
    SavedValueError,
    ShapeError,
)
from .differences import random_signs
from .report import Row, Verdict
from .subjects import Arrays, Subject

# Two computations of one gradient may differ by this many units of rounding of the larger numbers in them.
ROUNDING = 1000.0


class Found(Exception):
    """A mistake was found: verdict, sentence, and rows if it has a place."""

    def __init__(self, verdict: Verdict, message: str, rows: list[Row] | None = None) -> None:
        super().__init__(message)
        self.verdict, self.message, self.rows = verdict, message, rows or []


def weights_for(subject: Subject, outputs: Arrays, rng: np.random.Generator) -> Arrays:
    """Draw incoming gradients: never the plain sum, which is blind to softmax and its kin."""
    return [random_signs(rng, out.shape).astype(subject.arrays[0].dtype) for out in outputs]


def outputs_of(subject: Subject) -> Arrays:
    """Evaluate twice; both must be finite and equal, and leave the inputs alone."""
    arrays = [a.copy() for a in subject.arrays]
    try:
        outputs = [np.array(out) for out in subject.evaluate(arrays)]
    except DtypeError as error:
        hint = f"Tensors the function brings along become {arrays[0].dtype} too if they are named in params"
        raise DtypeError(f"{error}; {hint}") from error
    _untouched(subject, arrays, "forward")
    for k, out in enumerate(outputs):
        if not np.isfinite(out).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
            raise Found(Verdict.NOT_FINITE, f"The function itself is {out[at]} at output {k}, element {list(at)}.")
    for k, (a, b) in enumerate(zip(outputs, subject.evaluate(arrays), strict=True)):
        if a.shape != b.shape or _apart(a, b, np.abs(a).max(initial=0)).any():
            raise Found(Verdict.NONDETERMINISTIC, f"Output {k} differs between two evaluations at one point.")
    return outputs


def gradient_of(subject: Subject, weights: Arrays) -> Arrays:
    """Run backward: it must leave alone what it was handed, and be well formed, finite and repeatable."""
    arrays, incoming = ([a.copy() for a in group] for group in (subject.arrays, weights))
    with _translated(subject):
        first = [g.copy() for g in subject.gradients(arrays, incoming)]
    _untouched(subject, arrays, "backward")
    for k, (before, after) in enumerate(zip(weights, incoming, strict=True)):
        if not np.array_equal(before, after):
            raise Found(Verdict.OVERWRITTEN, f"backward wrote to the incoming gradient of output {k}.")
    try:
        with _translated(subject):
            watched = subject.gradients_twice(arrays, incoming)
    except NotFiniteError as error:
        if any(not np.isfinite(g).all() for g in first):
            raise Found(Verdict.NOT_FINITE, f"{error}.") from error
        watched = first, subject.gradients(arrays, incoming)  # on the way only: what arrives is finite
    _check_finite(subject, first)
    size = magnitude(subject, subject.evaluate(arrays), weights, first)
    for others, verdict, what in (
        (watched[0], Verdict.NONDETERMINISTIC, "two runs of forward and backward"),
        (watched[1], Verdict.SAVED_CHANGED, "two calls of backward after one forward"),
    ):
        for name, array, a, b in zip(subject.names, subject.arrays, first, others, strict=True):
            if _apart(a, b, size / scale_of(array)).any():
                raise Found(verdict, f"The gradient of {name!r} differs between {what}.")
    return first


@contextlib.contextmanager
def _translated(subject: Subject) -> Iterator[None]:
    """Turn what backward raises into a verdict; NaN and infinity are judged by the caller."""
    try:
        yield
    except NotFiniteError:
        raise
    except OverwrittenError as error:
        raise Found(Verdict.OVERWRITTEN, f"{error}.") from error
    except SavedValueError as error:
        raise Found(Verdict.SAVED_CHANGED, f"{error}.") from error
    except (ShapeError, DtypeError, DeviceError) as error:
        raise Found(Verdict.MALFORMED, f"{error}.") from error
    except GraphError as error:
        raise Found(Verdict.MALFORMED if subject.order == 1 else Verdict.HIGHER_ORDER, f"{error}.") from error


def _check_finite(subject: Subject, gradients: Arrays) -> None:
    for name, gradient in zip(subject.names, gradients, strict=True):
        if not np.isfinite(gradient).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(gradient))[0]))
            raise Found(Verdict.NOT_FINITE, f"The gradient of {name!r} is {gradient[at]} at element {list(at)}.")


def check_linear(subject: Subject, weights: Arrays, gradients: Arrays, others: Arrays) -> None:
    """Backward of w + 64·w' must be that of w plus 64 times that of w'."""
    mixed = [w + 64 * o for w, o in zip(weights, others, strict=True)]
    second, together = subject.gradients(subject.arrays, others), subject.gradients(subject.arrays, mixed)
    size = magnitude(subject, subject.evaluate(subject.arrays), weights, gradients)
    for name, array, a, b, c in zip(subject.names, subject.arrays, gradients, second, together, strict=True):
        if _apart(a + 64 * b, c, 64 * size / scale_of(array)).any():
            raise Found(
                Verdict.NOT_LINEAR,
                f"For {name!r}, backward of w + 64·w' is not backward of w plus 64 times that of w'.",
            )


def check_layouts(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
    """The same numbers lying differently in memory must have the same outputs and gradients."""
    size = magnitude(subject, outputs, weights, gradients)
    for what, lay in (("transposed", _transposed), ("strided", _strided)):
        arrays, incoming = [lay(a) for a in subject.arrays], [lay(w) for w in weights]
        for k, (a, b) in enumerate(zip(outputs, subject.evaluate(arrays), strict=True)):
            if a.shape != b.shape or _apart(a, b, np.abs(a).max(initial=0)).any():
                raise Found(Verdict.WRONG, f"Output {k} is another one for {what} (non-contiguous) inputs.")
        _compare(subject, gradients, subject.gradients(arrays, incoming), size, f"{what} (non-contiguous) arrays")


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
        except (MiniskError, ValueError):
            continue  # not a point this function takes: nothing is promised there
        total = apart[i] + apart[j]
        if all(np.isfinite(values).all() for values in (*outputs, total)):
            size = magnitude(subject, outputs, weights, apart)
            together = subject.repeated_gradient(arrays, weights, i, j)
            what = f"one tensor passed as both {subject.names[i]!r} and {subject.names[j]!r}"
            _compare(subject, {i: total}, {i: together}, size, what)


def magnitude(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> float:
    """Return how large the numbers are whose rounding shows in Σ w·f: the weighted outputs, and g·x."""
    parts = [w * out for w, out in zip(weights, outputs, strict=True)]
    parts += [g * x for g, x in zip(gradients, subject.arrays, strict=True)]
    return float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts)))


def scale_of(array: Any) -> float:
    """Return the root mean square of an array, in which its steps are measured; 1 for zeros."""
    return float(np.sqrt(np.square(array, dtype=np.float64).mean())) or 1.0 if array.size else 1.0


def _compare(subject: Subject, expected: Any, found: Any, size: float, what: str) -> None:
    """Raise Found, with rows, where a gradient is not what it was under other circumstances."""
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
            raise Found(
                Verdict.WRONG, f"The gradient of {name!r} is wrong for {what} only: {len(rows)} elements.", rows
            )


def _apart(a: Any, b: Any, size: float) -> Any:
    """Where two arrays differ by more than rounding; NaN differs from everything."""
    allowed = ROUNDING * np.finfo(a.dtype).eps * max(size, float(np.abs(a).max(initial=0)))
    return ~(np.abs(a.astype(np.float64) - b) <= allowed)


def _untouched(subject: Subject, arrays: Arrays, when: str) -> None:
    for name, before, after in zip(subject.names, subject.arrays, arrays, strict=True):
        if not np.array_equal(before, after, equal_nan=True):
            raise Found(Verdict.OVERWRITTEN, f"{when} wrote to the input {name!r}.")


def _transposed(array: Any) -> Any:
    return np.array(array.T, order="C").T


def _strided(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
