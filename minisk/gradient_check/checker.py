"""`gradcheck`: compare along random directions first, then measure single elements where a direction disagrees.

1. The probes check what needs no differences (finite, repeatable, well formed, linear).
2. The gradient is compared with finite differences.
3. At a kink, both are repeated a small step aside.

Order 2 is the same check, applied to the gradient as a function.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, enable_grad
from ..errors import DtypeError, GradcheckError, MiniskError, ShapeError
from . import probes
from .differences import LADDERS, Slope, Status, chance_to_miss, random_signs
from .elements import Point, locate
from .report import GradcheckReport, InputSummary, Row, Verdict, count
from .subjects import GradientSubject, Subject

DIRECTIONS = 3
MODES = ("auto", "fast", "full")
# If the directions disagree, the search for elements follows the first of these.
SEARCH_ORDER = (Status.DIFFERS, Status.KINK, Status.NOISY)
# Steps aside from a kink, relative to the scale of the input. All are longer than the smallest step of a difference.
STEPS_ASIDE = {"float64": (2**-6, 2**-10, 2**-14), "float32": (2**-6, 2**-5, 2**-4)}


def gradcheck(
    fn: Any,
    inputs: Any,
    *,
    params: Mapping[str, Tensor] | None = None,
    order: int = 1,
    dtype: str = "float64",
    mode: str = "auto",
    raise_on_failure: bool = True,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the gradient of a function with finite differences; report what is wrong, and where.

    Args:
        fn: a function of Tensors that returns one or a tuple; a `Function`; a `Module` (its named parameters are
            checked too, in its current mode); or a pair (forward, backward) of NumPy functions:
            forward(*inputs) → array, backward(incoming gradient, *inputs) → one array per input. Several outputs and
            several incoming gradients are tuples.
        inputs: a Tensor or array of any shape, or a sequence of arguments; the floating ones are checked.
        params: Tensors, by name, that fn uses without receiving them as arguments; checked too.
        order: 2 checks the second derivative as well, 3 the third.
        dtype: "float64", or "float32" with a larger tolerance; all inputs and parameters are converted meanwhile.
        mode: "fast" compares along random directions only; "auto" also measures elements where these disagree; "full"
            measures every element.
        raise_on_failure: raise if the gradient is wrong; otherwise only return the report.
        seed: of the random directions and output weights; the same seed gives the same report.

    Returns:
        A GradcheckReport. Inputs, parameters and random state are restored.

    Raises:
        GradcheckError: the report is not ok, and `raise_on_failure`.
        DtypeError, ShapeError, MiniskError: the arguments are invalid.
    """
    started = time.perf_counter()
    _require_valid(fn, params, order, dtype, mode)
    arguments = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    subject = Subject(fn, arguments, params or {}, dtype)
    if not any(array.size for array in subject.arrays):
        raise ShapeError("gradcheck: there is no floating input or parameter with an element in it to check")
    with enable_grad(), subject.restored(), np.errstate(all="ignore"):
        report, subject = _check_orders(subject, order, seed, mode)
    report.order, report.dtype, report.seed = subject.order, dtype, seed
    report.evaluations, report.gradients = subject.evaluations, subject.backwards
    report.seconds = time.perf_counter() - started
    if raise_on_failure and not report.ok:
        raise GradcheckError(report)
    return report


def _require_valid(fn: Any, params: Mapping[str, Tensor] | None, order: int, dtype: str, mode: str) -> None:
    """Raise DtypeError or MiniskError for invalid arguments of `gradcheck`."""
    if dtype not in LADDERS:
        raise DtypeError(f"gradcheck: dtype {dtype!r} must be 'float64' or 'float32'")
    if mode not in MODES:
        raise MiniskError(f"gradcheck: mode {mode!r} must be 'auto', 'fast' or 'full'")
    if order < 1:
        raise MiniskError(f"gradcheck: order {order} must be at least 1")
    if isinstance(fn, tuple):
        if order > 1 or params or len(fn) != 2 or not all(callable(part) for part in fn):
            raise MiniskError("gradcheck: a pair must be (forward, backward), checked in first order, without params")
    elif not callable(fn):
        raise MiniskError(f"gradcheck: expected a function, a Function, a Module or a pair, got a {type(fn).__name__}")


def _check_orders(subject: Subject, order: int, seed: int, mode: str) -> tuple[GradcheckReport, Subject]:
    """Check the first derivative, then the next while the report is ok; return the last report and its subject."""
    report = _check(subject, seed, mode)
    while report.ok and subject.order < order:
        lower = report
        outputs = subject.evaluate(subject.arrays)
        weights = probes.draw_weights(subject, outputs, np.random.default_rng([seed, 1]))
        subject = GradientSubject(subject, weights)
        report = _check(subject, seed, mode)
        report.notes = lower.notes + report.notes
        if lower.verdict is Verdict.NOT_DIFFERENTIABLE and report.verdict is Verdict.CORRECT:
            report.verdict, report.message, report.rows = lower.verdict, lower.message, lower.rows
    return report, subject


def _check(subject: Subject, seed: int, mode: str) -> GradcheckReport:
    """Examine a subject; if it has a kink at this point, examine it a small step aside."""
    report = _examine(subject, np.random.default_rng(seed), mode)
    if report.verdict is not Verdict.NOT_DIFFERENTIABLE:
        return report
    rng = np.random.default_rng([seed, 2])
    start = subject.arrays
    kinks = _elements_of(report)
    for step in STEPS_ASIDE[str(start[0].dtype)]:
        moves = [step * probes.scale_of(a) * random_signs(rng, a.shape) for a in start]
        subject.arrays = [(a + move).astype(a.dtype) for a, move in zip(start, moves, strict=True)]
        aside = _examine(subject, np.random.default_rng([seed, 3]), mode)
        if aside.verdict in (Verdict.WRONG, Verdict.HIGHER_ORDER):
            aside.notes.append(f"The point itself is a kink; this is {step:.0e} of the inputs' size aside.")
            return aside
        # Among many elements the step may bring another one to a kink: each must be right at one point at least.
        if aside.verdict is Verdict.NOT_DIFFERENTIABLE:
            kinks = kinks & _elements_of(aside)
        if aside.verdict is Verdict.CORRECT or (report.rows and not kinks):
            report.ok = True
            report.notes.append(f"Passed: {step:.0e} of the inputs' size aside, the gradient is right.")
            return report
    subject.arrays = start
    report.notes.append("There are kinks at every small step aside as well: does the function jump everywhere?")
    return report


def _elements_of(report: GradcheckReport) -> set[tuple[str, tuple[int, ...]]]:
    return {(row.input, row.index) for row in report.rows}


def _examine(subject: Subject, rng: np.random.Generator, mode: str) -> GradcheckReport:
    """Run all probes and measurements at one point."""
    report = GradcheckReport()
    try:
        _run_checks(subject, rng, mode, report)
    except probes.CheckFailed as failure:
        report.verdict, report.message, report.rows = failure.verdict, failure.message, failure.rows
    if subject.order > 1 and report.verdict in (Verdict.WRONG, Verdict.NOT_LINEAR):
        report.verdict = Verdict.HIGHER_ORDER
    report.ok = report.verdict is Verdict.CORRECT
    if report.ok:
        report.chance_to_miss = chance_to_miss(DIRECTIONS)
        size = f"{100 * report.resolution:.0e} (100 times the resolution)"
        chance = f"with a chance of at most {report.chance_to_miss:.1g}"
        sentence = f"An element of the Jacobian that is off by {size} or more escapes {chance}."
        report.message = f"Gradient and differences agree. {sentence}"
    return report


def _run_checks(subject: Subject, rng: np.random.Generator, mode: str, report: GradcheckReport) -> None:
    """Run the checks at one point, cheap ones first. Raises CheckFailed at the first that fails."""
    outputs = [out.copy() for out in probes.checked_outputs(subject)]
    weights = [probes.draw_weights(subject, outputs, rng) for _ in range(DIRECTIONS)]
    gradients = [probes.checked_gradient(subject, weights[0])]
    for other_weights in weights[1:]:
        gradients.append(subject.gradients(subject.arrays, other_weights))
    probes.check_linear(subject, weights[0], gradients[0], weights[1])
    if isinstance(subject, GradientSubject):
        probes.check_create_graph(subject, outputs)
    points = [Point(subject, outputs, w, g) for w, g in zip(weights, gradients, strict=True)]
    _compare_inputs(report, points, rng, mode)
    if subject.order == 1:
        probes.check_layouts(subject, outputs, weights[0], gradients[0])
        probes.check_repeated(subject, weights[0])


def _compare_inputs(report: GradcheckReport, points: list[Point], rng: np.random.Generator, mode: str) -> None:
    """Compare every input along random directions, then the elements of those that disagree. Raises CheckFailed."""
    subject = points[0].subject
    failures: list[Status] = []
    for i, (name, array) in enumerate(zip(subject.names, subject.arrays, strict=True)):
        report.summaries[name] = InputSummary(name, array.shape)
        if array.size > 0:
            failures += _compare_input(report, points, i, rng, mode)
    report.rows.sort(key=lambda row: -abs(row.analytic - row.numeric))
    _conclude(report, failures, points[0])


def _compare_input(
    report: GradcheckReport, points: list[Point], i: int, rng: np.random.Generator, mode: str
) -> list[Status]:
    """Compare one input along a random direction per point, and its elements if needed; return how it failed."""
    subject = points[0].subject
    array = subject.arrays[i]
    summary = report.summaries[subject.names[i]]
    slopes = [point.measure_direction(i, random_signs(rng, array.shape)) for point in points]
    summary.directions = len(slopes)
    summary.worst = max(abs(slope.residual) / point.size for slope, point in zip(slopes, points, strict=True))
    for slope in slopes:
        if not slope.fails:
            report.resolution = max(report.resolution, slope.allowed / probes.scale_of(array))
    k = _direction_to_search(slopes)
    rows: list[Row] = []
    if mode == "full" or (mode == "auto" and slopes[k].fails):
        rows = locate(points[k], i, slopes[k].residual, mode, report)
    failing = [row for row in rows if row.status != Status.AGREES.value]
    summary.failing = max(summary.failing, len(failing))
    if failing:
        report.rows += failing
        return [Status(row.status) for row in failing]
    if mode == "full":
        report.rows += rows
    # If no single element fails, two directions must. In float32 a step along many elements always crosses kinks, so
    # that a kink does not count there.
    counted = (Status.DIFFERS, Status.KINK) if points[0].dtype == "float64" else (Status.DIFFERS,)
    if mode == "fast" or sum(slope.status in counted for slope in slopes) > 1:
        return [slope.status for slope in slopes if slope.fails]
    return []


def _direction_to_search(slopes: list[Slope]) -> int:
    """Return the number of the direction whose failure is searched for elements; 0 if none fails."""
    for status in SEARCH_ORDER:
        for k, slope in enumerate(slopes):
            if slope.status is status:
                return k
    return 0


def _conclude(report: GradcheckReport, failures: list[Status], point: Point) -> None:
    """Raise CheckFailed with the gravest of the failures, if there are any."""
    names = [f"{s.input!r} ({count(s.failing, 'element')})" for s in report.summaries.values() if s.failing]
    where = ", ".join(names) or "along random directions (no single element stands out)"
    if Status.DIFFERS in failures:
        rows = [row for row in report.rows if row.status == Status.DIFFERS.value]
        what = "The gradient" if point.subject.order == 1 else "The gradient's own gradient"
        raise probes.CheckFailed(Verdict.WRONG, f"{what} differs from the numeric one: {where}.", rows)
    if Status.KINK in failures:
        raise probes.CheckFailed(Verdict.NOT_DIFFERENTIABLE, f"The one-sided slopes differ: {where}.", report.rows)
    if Status.NOISY in failures:
        least = max((row.estimate * 10 for row in report.rows), default=point.noise)
        message = f"Rounding hides the derivative ({where}): errors below {least:.1g} cannot be seen."
        if math.isinf(least):
            message = f"Every step leaves the function's domain ({where}): the values there are NaN or infinite."
        raise probes.CheckFailed(Verdict.TOO_NOISY, message, report.rows)
