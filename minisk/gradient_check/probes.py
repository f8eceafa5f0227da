"""Checks that need no finite differences: is the gradient finite, repeatable, well formed and linear?

Each probe raises `CheckFailed` with a verdict. `weights` are incoming gradients: one array per output, of its shape.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import errors
from .differences import random_signs
from .report import Row, Verdict
from .subjects import Arrays, GradientSubject, Subject
from .user_frames import describe_place, user_frames

# Two computations of one gradient may differ by this many units of rounding of the largest values in them.
ROUNDING = 1000.0
# The factor of the second incoming gradient in the linearity check; a power of two multiplies without rounding.
MIXED = 64


class CheckFailed(Exception):
    """A mistake was found.

    Args:
        verdict: what kind of mistake.
        message: what was seen, in a sentence.
        rows: the wrong elements, if the mistake has a place.
    """

    def __init__(self, verdict: Verdict, message: str, rows: Sequence[Row] = ()) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.message = message
        self.rows = list(rows)


def draw_weights(subject: Subject, outputs: Arrays, rng: np.random.Generator) -> Arrays:
    """Draw random incoming gradients: a plain sum of outputs would not see errors in softmax, whose sum is constant."""
    return [random_signs(rng, out.shape).astype(subject.arrays[0].dtype) for out in outputs]


def checked_outputs(subject: Subject) -> Arrays:
    """Evaluate twice and return the outputs: both must be finite and equal, and leave the inputs unchanged."""
    arrays = [a.copy() for a in subject.arrays]
    try:
        outputs = [np.array(out) for out in subject.evaluate(arrays)]
    except errors.DtypeError as error:
        hint = f"a Tensor that the function uses becomes {arrays[0].dtype} too if it is named in params"
        raise errors.DtypeError(f"{error}; {hint}") from error
    _require_unchanged(subject.names, subject.arrays, arrays, "forward wrote to the input")
    for k, out in enumerate(outputs):
        _require_finite(out, f"Output {k} of the function itself")
    again = subject.evaluate(arrays)
    _compare_outputs(outputs, again, 0.0, Verdict.NONDETERMINISTIC, "differs between two evaluations at one point")
    return outputs


def checked_gradient(subject: Subject, weights: Arrays) -> Arrays:
    """Run backward and return the gradients: well formed, finite and repeatable, with inputs and weights unchanged."""
    arrays = [a.copy() for a in subject.arrays]
    incoming = [w.copy() for w in weights]
    with _errors_as_verdicts(subject):
        first = [g.copy() for g in subject.gradients(arrays, incoming)]
    _require_unchanged(subject.names, subject.arrays, arrays, "backward wrote to the input")
    _require_unchanged(range(len(weights)), weights, incoming, "backward wrote to the incoming gradient of output")
    try:
        with _errors_as_verdicts(subject):
            watched, repeated = subject.gradients_twice(arrays, incoming)
    except errors.NotFiniteError as error:
        if any(not np.isfinite(g).all() for g in first):
            raise CheckFailed(Verdict.NOT_FINITE, f"{error}.") from error
        # Only an intermediate gradient is NaN or infinite; the gradients of the inputs are finite.
        watched, repeated = first, subject.gradients(arrays, incoming)
    for name, gradient in zip(subject.names, first, strict=True):
        _require_finite(gradient, f"The gradient of {name!r}")
    size = magnitude(subject, subject.evaluate(arrays), weights, first)
    _compare(subject, first, watched, size, Verdict.NONDETERMINISTIC, "differs from one run to the next")
    _compare(subject, first, repeated, size, Verdict.SAVED_CHANGED, "differs between two backwards of one forward")
    return first


@contextlib.contextmanager
def _errors_as_verdicts(subject: Subject) -> Iterator[None]:
    """Turn an error that backward raises into a verdict; the caller decides about NaN and infinity."""
    try:
        yield
    except errors.NotFiniteError:
        raise
    except errors.SavedValueError as error:
        raise CheckFailed(Verdict.SAVED_CHANGED, f"{error}.") from error
    except errors.OverwrittenError as error:
        raise CheckFailed(Verdict.OVERWRITTEN, f"{error}.") from error
    except (errors.ShapeError, errors.DtypeError, errors.DeviceError) as error:
        # No frame of the user's: the engine refused what backward returned.
        frames = user_frames(error)
        where = f", raised in {describe_place(frames)}: {frames[-1].line}" if frames else "."
        raise CheckFailed(Verdict.MALFORMED, f"{error}{where}") from error
    except errors.GraphError as error:
        raise CheckFailed(Verdict.MALFORMED if subject.order == 1 else Verdict.HIGHER_ORDER, f"{error}.") from error


def check_linear(subject: Subject, weights: Arrays, gradients: Arrays, others: Arrays) -> None:
    """Require backward(w + 64·w') = backward(w) + 64·backward(w').

    Args:
        subject: what is checked.
        weights: the incoming gradients w.
        gradients: backward(w).
        others: the incoming gradients w'.
    """
    mixed = [w + MIXED * other for w, other in zip(weights, others, strict=True)]
    second = subject.gradients(subject.arrays, others)
    together = subject.gradients(subject.arrays, mixed)
    size = magnitude(subject, subject.evaluate(subject.arrays), weights, gradients)
    expected = [a + MIXED * b for a, b in zip(gradients, second, strict=True)]
    what = f"for w + {MIXED}·w' is not that for w plus {MIXED} times that for w'"
    _compare(subject, expected, together, MIXED * size, Verdict.NOT_LINEAR, what)


def check_layouts(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
    """Require the same outputs and gradients for arrays of the same values in another memory layout."""
    size = magnitude(subject, outputs, weights, gradients)
    for what, lay_out in (("transposed", _transposed_copy), ("strided", _strided_copy)):
        arrays = [lay_out(a) for a in subject.arrays]
        incoming = [lay_out(w) for w in weights]
        where = f"is wrong for {what} (non-contiguous) arrays only"
        _compare_outputs(outputs, subject.evaluate(arrays), size, Verdict.WRONG, where)
        _compare(subject, gradients, subject.gradients(arrays, incoming), size, Verdict.WRONG, where)


def check_repeated(subject: Subject, weights: Arrays) -> None:
    """Require that one object passed as two inputs gets the sum of the gradients that two copies of it get."""
    shapes = [a.shape for a in subject.arrays[: subject.input_count]]
    for i, j in itertools.combinations(range(len(shapes)), 2):
        if shapes[i] == shapes[j]:
            _check_repeated_pair(subject, weights, i, j)


def _check_repeated_pair(subject: Subject, weights: Arrays, i: int, j: int) -> None:
    arrays = [a.copy() for a in subject.arrays]
    arrays[j] = arrays[i].copy()
    try:
        outputs = subject.evaluate(arrays)
        apart = subject.gradients(arrays, weights)
    except (errors.MiniskError, ValueError):
        return  # the function does not accept this point
    total = apart[i] + apart[j]
    if all(np.isfinite(values).all() for values in [*outputs, total]):
        size = magnitude(subject, outputs, weights, apart)
        together = subject.repeated_gradient(arrays, weights, i, j)
        what = f"is wrong for one tensor passed as both {subject.names[i]!r} and {subject.names[j]!r} only"
        _compare_gradient(subject, i, total, together, size, Verdict.WRONG, what)


def check_create_graph(subject: GradientSubject, expected: Arrays) -> None:
    """Require the gradient that create_graph=True returns: backward may take another branch while it is recorded."""
    recorded = [tensor.numpy() for tensor in subject.run(subject.leaves(subject.arrays), create_graph=True)]
    for name, a, b in zip(subject.base.names, expected, recorded, strict=True):
        allowed = ROUNDING * np.finfo(a.dtype).eps * max(1, np.abs(a).max(initial=0))
        if np.abs(a - b).max(initial=0) > allowed:
            raise CheckFailed(Verdict.HIGHER_ORDER, f"The gradient of {name!r} differs under create_graph=True.")


def magnitude(subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> float:
    """Return the size of the values whose rounding shows in Σ w·f: the 2-norm over all w·f and g·x."""
    parts = [w * out for w, out in zip(weights, outputs, strict=True)]
    parts += [g * x for g, x in zip(gradients, subject.arrays, strict=True)]
    return float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts)))


def scale_of(array: Any) -> float:
    """Return the root mean square of an array, the unit of its steps; 1 for zeros and for an empty array."""
    if array.size == 0:
        return 1.0
    return float(np.sqrt(np.square(array, dtype=np.float64).mean())) or 1.0


def _compare_outputs(expected: Arrays, found: Arrays, size: float, verdict: Verdict, what: str) -> None:
    """Raise CheckFailed if an output differs by more than rounding; size: as in `magnitude`, for weights of ±1."""
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a.shape != b.shape or _where_different(a, b, size).any():
            raise CheckFailed(verdict, f"Output {k} {what}.")


def _compare(subject: Subject, expected: Arrays, found: Arrays, size: float, verdict: Verdict, what: str) -> None:
    """Raise CheckFailed if the gradient of any input differs from the expected one."""
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        _compare_gradient(subject, i, a, b, size, verdict, what)


def _compare_gradient(
    subject: Subject, i: int, expected: Any, found: Any, size: float, verdict: Verdict, what: str
) -> None:
    """Raise CheckFailed if the gradient of input i differs by more than rounding; with rows if the verdict is WRONG."""
    scale = scale_of(subject.arrays[i])
    different = _where_different(expected, found, size / scale)
    if not different.any():
        return
    distance = np.abs(found - expected)
    worst = sorted(map(tuple, np.argwhere(different).tolist()), key=lambda index: -distance[index])
    message = f"The gradient of {subject.names[i]!r} {what}: {len(worst)} elements."
    rows = []
    if verdict is Verdict.WRONG:
        estimate = float(np.finfo(expected.dtype).eps) * size / scale
        for index in worst:
            values = float(found[index]), float(expected[index])
            rows.append(Row(subject.names[i], index, *values, estimate, "differs"))
    raise CheckFailed(verdict, message, rows)


def _where_different(a: Any, b: Any, size: float) -> Any:
    """Return where two arrays differ by more than rounding; NaN differs from everything."""
    allowed = ROUNDING * np.finfo(a.dtype).eps * max(size, float(np.abs(a).max(initial=0)))
    return ~(np.abs(a.astype(np.float64) - b) <= allowed)


def _require_finite(array: Any, what: str) -> None:
    if not np.isfinite(array).all():
        index = tuple(int(n) for n in np.argwhere(~np.isfinite(array))[0])
        raise CheckFailed(Verdict.NOT_FINITE, f"{what} is {array[index]} at element {list(index)}.")


def _require_unchanged(names: Iterable[Any], before: Arrays, after: Arrays, what: str) -> None:
    for name, a, b in zip(names, before, after, strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            raise CheckFailed(Verdict.OVERWRITTEN, f"{what} {name!r}.")


def _transposed_copy(array: Any) -> Any:
    return np.array(array, order="F")


def _strided_copy(array: Any) -> Any:
    """Return the same values as every second element of a larger array."""
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
