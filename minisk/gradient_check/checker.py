"""`gradcheck`: a fast pass along random directions; where anything is suspicious, the exact elements.

Probes come first (is it finite, repeatable, well formed, linear?), then numbers. A gradient that disagrees at a kink is
checked once more a small step aside. Order 2 is the same check, applied to the gradient as a function.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import DtypeError, GradcheckError, MiniskError, ShapeError
from . import probes
from .differences import LADDERS, Status, chance_to_miss, random_signs
from .elements import Point, locate
from .probes import Found
from .report import GradcheckReport, Summary, Verdict
from .subjects import Arrays, GradientSubject, Subject

DIRECTIONS = 3
PRESSING = (Status.DIFFERS, Status.KINK, Status.NOISY)  # which direction to follow, if they disagree
# Steps aside from a kink, relative to the size of the input: longer than the smallest step of a difference.
ASIDE = {"float64": (2**-6, 2**-10, 2**-14), "float32": (2**-6, 2**-5, 2**-4)}


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
    """Compare the gradient of a function with finite differences, and say what is wrong with it, and where.

    fn: a function of Tensors (returning one, or a tuple), a `Function`, a `Module` (its named parameters are checked
    too, in the mode it is in), or a pair (forward, backward) of plain NumPy functions: forward(*inputs) → array,
    backward(incoming gradient, *inputs) → one array per input (tuples if there are several).
    inputs: a Tensor or array, or a sequence of arguments; the floating ones are checked, in `dtype`.
    params: Tensors, by name, that fn uses without being handed them; checked too. Everything is restored afterwards.
    order: 2 checks the gradient's gradient as well. dtype: "float64", or "float32" at its own tolerance.
    mode: "fast" looks along random directions only, "auto" at elements where these disagree, "full" at every element.
    Returns a GradcheckReport, the same for the same seed. Raises GradcheckError if it is not ok and `raise_on_failure`.
    """
    started = time.perf_counter()
    subject = _subject(fn, inputs, dict(params or {}), order, dtype, mode)
    with subject.restored(), np.errstate(all="ignore"):
        finding = _check(subject, seed, mode)
        while finding.ok and subject.order < order:
            weights = probes.weights_for(subject, subject.evaluate(subject.arrays), np.random.default_rng([seed, 1]))
            first, subject = finding, GradientSubject(subject, weights)
            finding = _check(subject, seed, mode)
            finding.notes[:0] = first.notes
            if first.verdict is Verdict.NOT_DIFFERENTIABLE and finding.verdict is Verdict.CORRECT:
                finding.verdict, finding.message, finding.rows = first.verdict, first.message, first.rows
    finding.order, finding.dtype, finding.seed = subject.order, dtype, seed
    finding.evaluations, finding.gradients = subject.evaluations, subject.backwards
    finding.seconds = time.perf_counter() - started
    if raise_on_failure and not finding.ok:
        raise GradcheckError(finding)
    return finding


def _subject(fn: Any, inputs: Any, params: dict[str, Tensor], order: int, dtype: str, mode: str) -> Subject:
    arguments = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    if dtype not in LADDERS:
        raise DtypeError(f"gradcheck: dtype {dtype!r} must be 'float64' or 'float32'")
    if mode not in ("auto", "fast", "full"):
        raise MiniskError(f"gradcheck: mode {mode!r} must be 'auto', 'fast' or 'full'")
    if order < 1:
        raise MiniskError(f"gradcheck: order {order} must be at least 1")
    is_pair = isinstance(fn, tuple)
    if is_pair and (order > 1 or params or len(fn) != 2 or not all(map(callable, fn))):
        raise MiniskError("gradcheck: a pair must be (forward, backward), checked in first order, without params")
    if not is_pair and not callable(fn):
        raise MiniskError(f"gradcheck: expected a function, a Function, a Module or a pair, got a {type(fn).__name__}")
    subject = Subject(fn, arguments, params, dtype)
    if not any(array.size for array in subject.arrays):
        raise ShapeError("gradcheck: there is no floating input or parameter with an element in it to check")
    return subject


def _check(subject: Subject, seed: int, mode: str) -> GradcheckReport:
    """Examine a subject; at a kink, step aside and examine it there."""
    finding = _examine(subject, np.random.default_rng(seed), mode)
    if finding.verdict is not Verdict.NOT_DIFFERENTIABLE:
        return finding
    rng, start = np.random.default_rng([seed, 2]), subject.arrays
    kinks = _places(finding)
    for step in ASIDE[str(start[0].dtype)]:
        moves = [step * probes.scale_of(a) * random_signs(rng, a.shape) for a in start]
        subject.arrays = [(a + move).astype(a.dtype) for a, move in zip(start, moves, strict=True)]
        aside = _examine(subject, np.random.default_rng([seed, 3]), mode)
        if aside.verdict in (Verdict.WRONG, Verdict.HIGHER_ORDER):
            aside.notes.append(f"The point itself is a kink; this is {step:.0e} of the inputs' size aside.")
            return aside
        # Among many elements another may have come upon a kink: it is enough that each is right at some point.
        kinks = kinks & _places(aside) if aside.verdict is Verdict.NOT_DIFFERENTIABLE else kinks
        if aside.verdict is Verdict.CORRECT or (finding.rows and not kinks):
            finding.ok = True
            finding.notes.append(f"Passed: {step:.0e} of the inputs' size aside, the gradient is right.")
            return finding
    subject.arrays = start
    finding.notes.append("Small steps aside did not leave the kinks behind: does the function jump everywhere?")
    return finding


def _places(finding: GradcheckReport) -> set[tuple[str, tuple[int, ...]]]:
    return {(row.input, row.index) for row in finding.rows}


def _examine(subject: Subject, rng: np.random.Generator, mode: str) -> GradcheckReport:
    """Run all probes and measurements at one point."""
    finding = GradcheckReport()
    try:
        outputs = [out.copy() for out in probes.outputs_of(subject)]
        weights = [probes.weights_for(subject, outputs, rng) for _ in range(DIRECTIONS)]
        gradients = [probes.gradient_of(subject, weights[0])]
        gradients += [subject.gradients(subject.arrays, w) for w in weights[1:]]
        probes.check_linear(subject, weights[0], gradients[0], weights[1])
        if isinstance(subject, GradientSubject):
            _check_recorded(subject, outputs)
        points = [Point(subject, outputs, w, g) for w, g in zip(weights, gradients, strict=True)]
        _compare_numbers(finding, points, rng, mode)
        if subject.order == 1:
            probes.check_layouts(subject, outputs, weights[0], gradients[0])
            probes.check_repeated(subject, weights[0])
    except Found as found:
        finding.verdict, finding.message, finding.rows = found.verdict, found.message, found.rows
    if subject.order > 1 and finding.verdict in (Verdict.WRONG, Verdict.NOT_LINEAR):
        finding.verdict = Verdict.HIGHER_ORDER
    finding.ok = finding.verdict is Verdict.CORRECT
    if finding.ok:
        finding.chance_to_miss = chance_to_miss(DIRECTIONS)
        missed = f"{100 * finding.resolution:.0e} (100 times the resolution) or more"
        chance = f"escapes with a chance of at most {finding.chance_to_miss:.1g}."
        finding.message = f"Gradient and differences agree. An element of the Jacobian that is off by {missed} {chance}"
    return finding


def _check_recorded(subject: GradientSubject, expected: Arrays) -> None:
    """A backward may be another one under create_graph: its values must be the same."""
    recorded = [tensor.numpy() for tensor in subject.run(subject.leaves(subject.arrays))]
    for name, a, b in zip(subject.base.names, expected, recorded, strict=True):
        if np.abs(a - b).max(initial=0) > probes.ROUNDING * np.finfo(a.dtype).eps * max(1, np.abs(a).max(initial=0)):
            raise Found(Verdict.HIGHER_ORDER, f"The gradient of {name!r} is another one under create_graph=True.")


def _compare_numbers(finding: GradcheckReport, points: list[Point], rng: np.random.Generator, mode: str) -> None:
    """Measure along random directions, then the elements of every suspicious input. Raises Found."""
    subject = points[0].subject
    seen: list[Status] = []
    for i, (name, array) in enumerate(zip(subject.names, subject.arrays, strict=True)):
        summary = finding.summaries[name] = Summary(name, array.shape)
        if array.size == 0:
            continue
        slopes = [point.along(i, random_signs(rng, array.shape)) for point in points]
        summary.directions = len(slopes)
        resolved = [slope.allowed / probes.scale_of(array) for slope in slopes if not slope.fails]
        finding.resolution = max([finding.resolution, *resolved])
        summary.worst = max(abs(s.residual) / point.size for s, point in zip(slopes, points, strict=True))
        k = next((k for status in PRESSING for k, s in enumerate(slopes) if s.status is status), 0)
        is_searched = mode == "full" or (mode == "auto" and slopes[k].fails)
        rows = locate(points[k], i, slopes[k].residual, mode, finding) if is_searched else []
        failing = [row for row in rows if row.status != Status.AGREES.value]
        summary.failing = max(summary.failing, len(failing))
        finding.rows += failing or (rows if mode == "full" else [])
        seen += [Status(row.status) for row in failing]
        # No element is to blame: then it takes two directions. In float32 every step along many elements meets kinks.
        kinks = [Status.KINK] if points[k].dtype == "float64" else []
        blamed = [s for s in slopes if s.status in [Status.DIFFERS, *kinks]]
        if not failing and (mode == "fast" or len(blamed) > 1):
            seen += [s.status for s in slopes if s.fails]
    finding.rows.sort(key=lambda row: -abs(row.analytic - row.numeric))
    _conclude(finding, seen, points[0])


def _conclude(finding: GradcheckReport, seen: list[Status], point: Point) -> None:
    names = ", ".join(f"{s.input!r} ({s.failing} elements)" for s in finding.summaries.values() if s.failing)
    where = names or "along random directions (no single element stands out)"
    if Status.DIFFERS in seen:
        finding.rows = [row for row in finding.rows if row.status == Status.DIFFERS.value]
        what = "The gradient" if point.subject.order == 1 else "The gradient's own gradient"
        raise Found(Verdict.WRONG, f"{what} differs from the numeric one: {where}.", finding.rows)
    if Status.KINK in seen:
        raise Found(Verdict.NOT_DIFFERENTIABLE, f"The one-sided slopes differ: {where}.", finding.rows)
    if Status.NOISY in seen:
        least = max((row.estimate * 10 for row in finding.rows), default=point.noise)
        message = f"Rounding hides the derivative ({where}): errors below {least:.1g} cannot be seen."
        if math.isinf(least):
            message = f"Every step leaves the function's domain ({where}): the values there are NaN or infinite."
        raise Found(Verdict.TOO_NOISY, message, finding.rows)
