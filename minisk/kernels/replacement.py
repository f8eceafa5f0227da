"""Put a kernel of your own behind a name of the dispatch, once it is proven.

    with minisk.kernels.replaced(select=my_select):
        train(model)

The proof runs the function under the checker and compares it with the reference, on the examples of examples.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..cuda.geometry import BatchStatistics
from ..errors import ArgumentError, DtypeError, KernelError, ShapeError
from ..runtime import in_mode, recorded_reports
from ..runtime.findings import CheckReport
from . import reference
from .dispatch import PROVEN_DTYPES, REPLACEABLE, replacements
from .examples import examples

TOLERANCE = {"f": 2e-5, "d": 1e-10}  # of the largest element of the reference


class Proof(NamedTuple):
    """What a proof saw. reports: of each launch, all clean; error: the largest, relative to the largest element."""

    name: str
    reports: list[CheckReport]
    error: float


@contextmanager
def replaced(**functions: Callable[..., Any]) -> Iterator[None]:
    """Run functions of yours in place of those of `minisk.kernels`, inside a `with` block, in this thread.

    Each function is proven first. It takes and returns what the function of `minisk.kernels` does, and gets
    C-contiguous arrays. Empty arrays, and dtypes other than float32 and float64, go the usual way. Mode `numpy`
    replaces nothing.

    Args:
        functions: by the names that they stand in for: `replaced(select=mine, select_grad=my_gradient)`.

    Raises:
        ArgumentError: the dispatch has no such function.
        KernelError: a function fails its proof; the message says where.
    """
    for name, function in functions.items():
        prove(name, function)
    token = replacements.set({**replacements.get(), **functions})
    try:
        yield
    finally:
        replacements.reset(token)


def prove(name: str, function: Callable[..., Any]) -> Proof:
    """Run a function on examples under the checker, and compare its results with the reference.

    Args:
        name: of the function of `minisk.kernels` that it is to stand in for.
        function: takes and returns what that one does, and launches at least one kernel.

    Returns:
        The reports of the launches, and the largest error.

    Raises:
        ArgumentError: the dispatch has no such function.
        KernelError: a launch has findings, a result differs, or no kernel was launched.
    """
    if name not in REPLACEABLE:
        raise ArgumentError(f"replaced: the dispatch has no function {name!r}; expected one of {_names()}")
    worst = 0.0
    with in_mode("check"), recorded_reports() as reports:
        for dtype in PROVEN_DTYPES:
            for args in examples(name, np.dtype(dtype)):
                worst = max(worst, _error(name, function, args, TOLERANCE[dtype]))
    if not reports:
        raise KernelError(f"replaced: {name}: your function launched no kernel, so the checker saw nothing")
    return Proof(name, reports, worst)


def _names() -> str:
    return ", ".join(sorted(REPLACEABLE))


def _error(name: str, function: Callable[..., Any], args: tuple[Any, ...], tolerance: float) -> float:
    """Return the largest relative error of a call. Raises KernelError if it is above the tolerance."""
    shapes = ", ".join(str(arg.shape) for arg in args if isinstance(arg, np.ndarray))
    here = f"replaced: {name} of arrays {shapes}, {args[0].dtype}"
    given, expected = _copies(args), _copies(args)
    try:
        result = function(*given)
    except (KernelError, DtypeError, ShapeError) as error:
        raise KernelError(f"{here}: {error}") from error
    seen, right = [*_arrays(result), *given], [*_arrays(getattr(reference, name)(*expected)), *expected]
    pairs = [(a, b) for a, b in zip(seen, right, strict=False) if isinstance(b, np.ndarray)]
    if len(seen) != len(right):
        counts = f"{len(seen) - len(given)} arrays, expected {len(right) - len(given)}"
        raise KernelError(f"{here}: your function returned {counts}")
    errors = [_difference(f"{here}: result {number}", *pair) for number, pair in enumerate(pairs)]
    if max(errors) > tolerance:
        number = errors.index(max(errors))
        wrong = f"result {number} differs from the reference by {max(errors):.1e} of its largest element"
        raise KernelError(f"{here}: {wrong}, at most {tolerance:.0e} allowed")
    return max(errors)


def _copies(args: tuple[Any, ...]) -> list[Any]:
    """Return the arguments with copies of the arrays, because some functions work in place."""
    return [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]


def _arrays(result: Any) -> list[Any]:
    """Return the arrays of a result; of statistics the mean and the variance."""
    if isinstance(result, BatchStatistics):
        return [result.mean, result.var]
    return [array for each in result for array in _arrays(each)] if isinstance(result, tuple) else [result]


def _difference(here: str, seen: Any, right: np.ndarray[Any, Any]) -> float:
    """Return max|seen - right| / max|right|; infinite where only one is NaN. Raises KernelError."""
    if getattr(seen, "shape", None) != right.shape or seen.dtype != right.dtype:
        found = f"{seen.shape}, {seen.dtype}" if isinstance(seen, np.ndarray) else type(seen).__name__
        raise KernelError(f"{here} is {found}, expected {right.shape}, {right.dtype}")
    error = np.abs(seen.astype("d") - right.astype("d")).max(initial=0)
    return float(np.nan_to_num(error / max(np.abs(right).max(initial=0), 1e-30), nan=np.inf))
