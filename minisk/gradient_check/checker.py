"""`gradcheck`: a fast pass along random directions; where anything is suspicious, the exact elements.

Probes come first (is it finite, repeatable, well formed, linear?), then numbers. A gradient that disagrees at a kink is
checked once more a small step aside. Order 2 is the same check, applied to the gradient as a function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DtypeError, GradcheckError, MiniskError, ShapeError
from ..tensor import Tensor
from . import probes
from .differences import LADDERS, Line, Slope, Status, Vector, chance_to_miss, measure, measured_noise, random_signs
from .probes import Found
from .report import GradcheckReport, Row, Summary, Verdict, pattern
from .subjects import Arrays, GradientSubject, PairSubject, Subject, TensorSubject

DIRECTIONS = 3
LIMIT = 1024  # inputs with more elements are searched by halves (unless mode is "full")
BEAM = 8  # how many of the worst halves are followed
CONFIRMED = 50  # so many of the worst elements are measured with every ladder
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
    finding, costs = Finding(), [subject]
    with subject.restored(), np.errstate(all="ignore"):
        finding = _check(subject, seed, mode)
        while finding.ok and subject.order < order:
            assert isinstance(subject, TensorSubject)
            weights = probes.weights_for(subject, subject.evaluate(subject.arrays), np.random.default_rng([seed, 1]))
            first, subject = finding, GradientSubject(subject, weights)
            costs.append(subject)
            finding = _check(subject, seed, mode)
            finding.notes[:0] = first.notes
            if first.verdict is Verdict.NOT_DIFFERENTIABLE and finding.verdict is Verdict.CORRECT:
                finding.verdict, finding.message, finding.rows = first.verdict, first.message, first.rows
    report = GradcheckReport(
        finding.ok, finding.verdict, finding.message, subject.order, dtype, seed, finding.rows,
        list(finding.summaries.values()), finding.notes, finding.errors, finding.chance,
        finding.resolution,
        sum(s.evaluations for s in costs), sum(s.backwards for s in costs), time.perf_counter() - started,
    )  # fmt: skip
    if raise_on_failure and not report.ok:
        raise GradcheckError(report)
    return report


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
    subject: Subject = TensorSubject(fn, arguments, params, dtype) if not is_pair else PairSubject(fn, arguments, dtype)
    if not any(array.size for array in subject.arrays):
        raise ShapeError("gradcheck: there is no floating input or parameter with an element in it to check")
    return subject


@dataclass
class Finding:
    """A verdict in the making."""

    verdict: Verdict = Verdict.CORRECT
    message: str = ""
    ok: bool = False
    chance: float = 1.0
    resolution: float = 0.0
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    summaries: dict[str, Summary] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)


def _check(subject: Subject, seed: int, mode: str) -> Finding:
    """Examine a subject; at a kink, step aside and examine it there."""
    finding = _examine(subject, np.random.default_rng(seed), mode)
    if finding.verdict is not Verdict.NOT_DIFFERENTIABLE:
        return finding
    rng, start = np.random.default_rng([seed, 2]), subject.arrays
    kinks = _places(finding)
    for step in ASIDE[str(start[0].dtype)]:
        subject.arrays = [
            (a + step * probes.scale_of(a) * random_signs(rng, a.shape)).astype(a.dtype) for a in start
        ]  # fmt: skip
        aside = _examine(subject, np.random.default_rng([seed, 3]), mode)
        if aside.verdict in (Verdict.WRONG, Verdict.HIGHER_ORDER):
            aside.notes.append(f"The point itself is a kink; this is {step:.0e} of the inputs' size aside.")
            return aside
        # Among many elements another may have come upon a kink: it is enough that each is right at some point.
        kinks = kinks & _places(aside) if aside.verdict is Verdict.NOT_DIFFERENTIABLE else kinks
        if aside.verdict is Verdict.CORRECT or (finding.rows and not kinks):
            finding.ok = True
            finding.notes.append(f"Checked again {step:.0e} of the inputs' size aside: there the gradient is right.")
            return finding
    subject.arrays = start
    finding.notes.append("Small steps aside did not leave the kinks behind: does the function jump everywhere?")
    return finding


def _places(finding: Finding) -> set[tuple[str, tuple[int, ...]]]:
    return {(row.input, row.index) for row in finding.rows}


def _examine(subject: Subject, rng: np.random.Generator, mode: str) -> Finding:
    """Run all probes and measurements at one point."""
    finding = Finding()
    try:
        outputs = [out.copy() for out in probes.outputs_of(subject)]
        weights = [probes.weights_for(subject, outputs, rng) for _ in range(DIRECTIONS)]
        gradients = [probes.gradient_of(subject, weights[0])]
        gradients += [subject.gradients(subject.arrays, w) for w in weights[1:]]
        probes.check_linear(subject, weights[0], gradients[0], weights[1])
        if isinstance(subject, GradientSubject):
            _check_recorded(subject, outputs)
        _compare_numbers(finding, subject, outputs, list(zip(weights, gradients, strict=True)), rng, mode)
        if subject.order == 1:
            probes.check_layouts(subject, outputs, weights[0], gradients[0])
            probes.check_repeated(subject, weights[0])
    except Found as found:
        finding.verdict, finding.message, finding.rows = found.verdict, found.message, found.rows
    if subject.order > 1 and finding.verdict in (Verdict.WRONG, Verdict.NOT_LINEAR):
        finding.verdict = Verdict.HIGHER_ORDER
    finding.ok = finding.verdict is Verdict.CORRECT
    if finding.ok:
        finding.chance = chance_to_miss(DIRECTIONS)
        finding.message = (
            f"Gradient and differences agree. An element of the Jacobian that is off by {100 * finding.resolution:.0e} "
            f"(100 times the resolution) or more escapes with a chance of at most {finding.chance:.1g}."
        )
    return finding


def _check_recorded(subject: GradientSubject, expected: Arrays) -> None:
    """A backward may be another one under create_graph: its values must be the same."""
    recorded = [tensor.numpy() for tensor in subject.run(subject.leaves(subject.arrays))]
    for name, a, b in zip(subject.base.names, expected, recorded, strict=True):
        if np.abs(a - b).max(initial=0) > probes.ROUNDING * np.finfo(a.dtype).eps * max(1, np.abs(a).max(initial=0)):
            raise Found(Verdict.HIGHER_ORDER, f"The gradient of {name!r} is another one under create_graph=True.")


def _compare_numbers(
    finding: Finding, subject: Subject, outputs: Arrays, pairs: list[tuple[Arrays, Arrays]], rng: Any, mode: str
) -> None:
    """Measure along random directions, then the elements of every suspicious input. Raises Found."""
    points = [_Point(subject, outputs, weights, gradients) for weights, gradients in pairs]
    seen: list[Status] = []
    for i, (name, array) in enumerate(zip(subject.names, subject.arrays, strict=True)):
        summary = finding.summaries[name] = Summary(name, array.shape)
        if array.size == 0:
            continue
        slopes = [point.along(i, random_signs(rng, array.shape)) for point in points]
        summary.directions = len(slopes)
        scale = probes.scale_of(array)
        finding.resolution = max(finding.resolution, *(slope.allowed / scale for slope in slopes))
        summary.worst = max(abs(s.residual) / point.size for s, point in zip(slopes, points, strict=True))
        k = max(range(len(slopes)), key=lambda k: list(Status).index(slopes[k].status) * -1 + 10 * _fails(slopes[k]))
        rows: list[Row] = []
        if mode == "full" or (mode == "auto" and _fails(slopes[k])):
            rows = _locate(finding, points[k], i, mode)
        failing = [row for row in rows if row.status != Status.AGREES.value]
        summary.failing = max(summary.failing, len(failing))
        finding.rows += failing or (rows if mode == "full" else [])
        seen += [Status(row.status) for row in failing]
        # No element is to blame: then it takes two directions. In float32 every step along many elements meets kinks.
        kinks = [Status.KINK] if points[k].dtype == "float64" else []
        blamed = [s for s in slopes if s.status in [Status.DIFFERS, *kinks]]
        if not failing and (mode == "fast" or len(blamed) > 1):
            seen += [s.status for s in slopes if _fails(s)]
    finding.rows.sort(key=lambda row: -abs(row.analytic - row.numeric))
    _conclude(finding, seen, points[0])


def _fails(slope: Slope) -> bool:
    return slope.status is not Status.AGREES


def _conclude(finding: Finding, seen: list[Status], point: _Point) -> None:
    places = [f"{s.input!r}" + (f" ({s.failing} elements)" if s.failing else "") for s in finding.summaries.values()]
    names = ", ".join(place for place, s in zip(places, finding.summaries.values(), strict=True) if s.failing)
    if Status.DIFFERS in seen:
        finding.rows = [row for row in finding.rows if row.status == Status.DIFFERS.value]
        where = names or "along random directions (no single element stands out)"
        raise Found(Verdict.WRONG, f"The gradient differs from the numeric one: {where}.", finding.rows)
    if Status.KINK in seen:
        raise Found(
            Verdict.NOT_DIFFERENTIABLE, f"The one-sided slopes differ: {names or 'along directions'}.", finding.rows
        )
    if Status.NOISY in seen:
        least = max((row.estimate * 10 for row in finding.rows), default=point.noise)
        raise Found(
            Verdict.TOO_NOISY,
            f"Rounding hides the derivative ({names or 'along directions'}): errors below {least:.1g} cannot be seen.",
            finding.rows,
        )


class _Point:
    """One point and one set of output weights: makes the lines along which slopes are measured."""

    def __init__(self, subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
        self.subject, self.outputs, self.weights, self.gradients = subject, outputs, weights, gradients
        self.dtype = str(subject.arrays[0].dtype)
        self.size = probes.magnitude(subject, outputs, weights, gradients) or 1.0
        self.noise = 4 * float(np.finfo(self.dtype).eps) * self.size
        self.measured: dict[int, float] = {}

    def deviation(self, i: int, direction: Vector) -> Callable[[float], float]:
        """Return t → Σ w·[f(x + t·v) - f(x)] - g·(t·v), where t·v is the move that rounding left of it."""
        array = self.subject.arrays[i]

        def deviate(t: float) -> float:
            moved = (array + t * direction).astype(array.dtype)
            arrays = [moved if j == i else a for j, a in enumerate(self.subject.arrays)]
            results = self.subject.evaluate(arrays)
            parts = zip(self.weights, results, self.outputs, strict=True)
            change = sum(float((w * (new.astype(np.float64) - old)).sum()) for w, new, old in parts)
            return change - float((self.gradients[i] * (moved.astype(np.float64) - array)).sum())

        return deviate

    def along(self, i: int, direction: Vector, ladders: Any = None) -> Slope:
        """Measure input i along a direction, given in units of the input's size."""
        move = direction * probes.scale_of(self.subject.arrays[i])
        line = Line(self.deviation(i, move), self.noise, self.size, self.dtype)
        if i not in self.measured:
            self.measured[i] = max(self.noise, measured_noise(line))
        return measure(Line(line.deviation, self.measured[i], self.size, self.dtype), ladders)

    def row(self, i: int, index: tuple[int, ...], slope: Slope) -> Row:
        scale, analytic = probes.scale_of(self.subject.arrays[i]), float(self.gradients[i][index])
        return Row(
            self.subject.names[i], index, analytic, analytic + slope.residual / scale, slope.error / scale,
            slope.status.value,
        )  # fmt: skip


def _locate(finding: Finding, point: _Point, i: int, mode: str) -> list[Row]:
    """Measure elements of input i: all of them, or those that halving leads to. Returns the worst, confirmed."""
    name, array = point.subject.names[i], point.subject.arrays[i]
    large = array.size > LIMIT and mode != "full"
    elements = _halved(point, i) if large else list(np.ndindex(array.shape))
    ladder = LADDERS[point.dtype][:1]
    slopes = {at: point.along(i, _unit(array.shape, [at]), ladder) for at in elements}
    ranked = sorted(elements, key=lambda at: abs(slopes[at].residual) if _fails(slopes[at]) else -1.0, reverse=True)
    for at in ranked[:CONFIRMED]:
        if _fails(slopes[at]):
            slopes[at] = point.along(i, _unit(array.shape, [at]))
    summary = finding.summaries[name]
    summary.elements = len(elements)
    rows = [point.row(i, at, slopes[at]) for at in ranked[:CONFIRMED]]
    if not large:
        numeric = np.array([point.row(i, at, slopes[at]).numeric for at in elements]).reshape(array.shape)
        failing = np.array([_fails(slopes[at]) for at in elements]).reshape(array.shape)
        finding.errors[name] = point.gradients[i] - numeric
        summary.failing = int(failing.sum())
        told = pattern(name, point.gradients[i], numeric, failing) if failing.any() else None
        if told and any(row.status == Status.DIFFERS.value for row in rows):
            finding.notes.append(told[0].upper() + told[1:])
    return rows


def _halved(point: _Point, i: int) -> list[tuple[int, ...]]:
    """Follow the halves with the largest residuals down to single elements."""
    shape = point.subject.arrays[i].shape
    signs = random_signs(np.random.default_rng(0), shape)
    groups = [list(np.ndindex(shape))]
    while any(len(group) > 1 for group in groups):
        halves = [half for g in groups for half in (g[: len(g) // 2], g[len(g) // 2 :]) if half]
        residuals = [abs(point.along(i, signs * _unit(shape, half)).residual) for half in halves]
        ranked = sorted(range(len(halves)), key=lambda k: -np.nan_to_num(residuals[k], nan=np.inf))
        groups = [halves[k] for k in ranked[:BEAM]]
    return [group[0] for group in groups]


def _unit(shape: tuple[int, ...], elements: list[tuple[int, ...]]) -> Vector:
    direction = np.zeros(shape)
    direction[tuple(np.array(elements, dtype=int).reshape(len(elements), len(shape)).T)] = 1.0
    return direction
