"""The report of a gradient check: a verdict with its remedy, the worst elements, a summary per input, and the cost."""

import enum
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 10  # rows of the table that are printed
LINE_WIDTH = 100  # characters


class Verdict(enum.Enum):
    """The outcome of a check; each has one `remedy`, a sentence that says what to do."""

    CORRECT = "correct"
    WRONG = "wrong"
    NOT_DIFFERENTIABLE = "not differentiable here"
    NOT_FINITE = "NaN or infinite"
    NONDETERMINISTIC = "nondeterministic"
    OVERWRITTEN = "incoming gradient or input overwritten"
    MALFORMED = "wrong gradient shape, dtype or device"
    NOT_LINEAR = "backward not linear in the incoming gradient"
    SAVED_CHANGED = "saved values changed in place"
    HIGHER_ORDER = "higher order wrong although first order is right"
    TOO_NOISY = "too noisy to decide"

    @property
    def remedy(self) -> str:
        """Return what to do about this verdict."""
        return _REMEDIES[self]


_REMEDIES = {
    Verdict.CORRECT: "nothing to do.",
    Verdict.WRONG: "compare backward with the derivative on paper, beginning with the first row of the table.",
    Verdict.NOT_DIFFERENTIABLE: "check at another point: no ties, nothing exactly at a kink such as ReLU's 0.",
    Verdict.NOT_FINITE: "check inside the function's domain, or guard the division, log or root that leaves it.",
    Verdict.NONDETERMINISTIC: "seed the random numbers inside the function, or switch them off (eval mode).",
    Verdict.OVERWRITTEN: "work on a copy (`dx = dout * mask`, not `dout *= mask`): other nodes read the same array.",
    Verdict.MALFORMED: "return one gradient per input, of its shape, dtype and device; sum over broadcast axes.",
    Verdict.NOT_LINEAR: "multiply by the incoming gradient exactly once; don't drop, square, clip or branch on it.",
    Verdict.SAVED_CHANGED: "save a copy, or leave arrays unchanged after they are saved (save_for_backward, ctx).",
    Verdict.HIGHER_ORDER: "write backward with Tensor operations on ctx.saved_tensors: arrays and attributes of ctx "
    "count as constants there.",
    Verdict.TOO_NOISY: "check in float64 throughout, or scale inputs and outputs to about 1.",
}


@dataclass(frozen=True)
class Row:
    """One element of a gradient.

    Attributes:
        input: the name of the input or parameter.
        index: the index of the element in it.
        analytic: the derivative of the randomly weighted sum of the outputs, as backward computes it.
        numeric: the same derivative, from finite differences.
        estimate: the estimated error of `numeric`.
        status: "differs", "kink", "noisy" or "agrees".
    """

    input: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    estimate: float
    status: str

    @property
    def relative_error(self) -> float:
        """Return |analytic - numeric| / max(|analytic|, |numeric|); 0 if both are 0."""
        scale = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / scale if scale else 0.0


@dataclass
class InputSummary:
    """What was checked in one input or parameter.

    Attributes:
        input: its name.
        shape: its shape.
        directions: how many random directions were measured.
        elements: how many elements were measured singly.
        failing: how many of these failed.
        worst: the largest |residual| along a direction, relative to what is measured.
    """

    input: str
    shape: tuple[int, ...]
    directions: int = 0
    elements: int = 0
    failing: int = 0
    worst: float = 0.0


@dataclass(repr=False)
class GradcheckReport:
    """The result of `gradcheck`; `print(report)` shows it.

    Attributes:
        ok: whether the gradient passed.
        verdict: a Verdict.
        message: what was seen, in a sentence or two.
        rows: the wrong elements, worst first.
        summaries: an InputSummary per input, by name.
        notes: further observations, a sentence each.
        errors: analytic minus numeric gradient of each input that was examined element by element, of its shape.
        chance_to_miss: a bound on the chance that an element of the Jacobian escapes that is off by 100 × resolution.
        resolution: the smallest difference noticed along a random direction.
        order, dtype, seed: what `gradcheck` was called with.
        evaluations: how often forward ran alone.
        gradients: how often forward and backward ran.
        seconds: the duration of the check.
    """

    ok: bool = False
    verdict: Verdict = Verdict.CORRECT
    message: str = ""
    rows: list[Row] = field(default_factory=list)
    summaries: dict[str, InputSummary] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    errors: dict[str, Any] = field(default_factory=dict)
    chance_to_miss: float = 1.0
    resolution: float = 0.0
    order: int = 1
    dtype: str = "float64"
    seed: int = 0
    evaluations: int = 0
    gradients: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        """Return everything but the arrays of errors as JSON; NaN and infinity become null."""
        content = asdict(self) | {"verdict": self.verdict.value, "remedy": self.verdict.remedy}
        del content["errors"]
        content["rows"] = [asdict(row) | {"relative_error": row.relative_error} for row in self.rows]
        # json calls parse_constant for NaN, Infinity and -Infinity only.
        finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
        return json.dumps(finite, indent=2, allow_nan=False)

    def __repr__(self) -> str:
        return str(self)  # a notebook shows it

    def __str__(self) -> str:
        lines = [f"gradcheck: {self.verdict.value}"]
        texts = [self.message, *self.notes]
        if self.verdict is not Verdict.CORRECT:
            texts.append(f"Remedy: {self.verdict.remedy}")
        for text in texts:
            lines += textwrap.wrap(text, LINE_WIDTH, initial_indent="  ", subsequent_indent="  ")
        if self.rows:
            lines += ["", *_element_table(self.rows)]
        if self.summaries:
            lines += ["", *_summary_table(self.summaries.values())]
        runs = f"{count(self.evaluations, 'evaluation')}, {count(self.gradients, 'gradient')}"
        cost = f"{runs}, {self.seconds:.2f} s"
        lines += ["", f"cost: {cost} (order {self.order}, {self.dtype}, seed {self.seed})"]
        return "\n".join(lines)

    def save_picture(self, path: str | Path) -> None:
        """Write a heat map (PNG) of |analytic - numeric|, one panel for each input.

        Raises MiniskError if matplotlib is not installed, and OSError.
        """
        from ..analysis.figures import draw_errors

        panels = []
        for summary in self.summaries.values():
            heading = f"{summary.input} {summary.shape}: "
            errors = np.zeros(summary.shape)  # differences below the estimated error are not shown
            if summary.failing and summary.input in self.errors:
                errors = np.abs(self.errors[summary.input])
                heading += count(summary.failing, "wrong element")
            elif self.ok or any(other.failing for other in self.summaries.values()):
                heading += "no errors"
            else:
                heading += "not measured by element"
            panels.append((heading, errors))
        draw_errors(
            panels, path, f"gradcheck: {self.verdict.value}, order {self.order}, {self.dtype}, seed {self.seed}"
        )


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or plural: "1 element", "2 elements"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _element_table(rows: list[Row]) -> list[str]:
    cells = [("element", "analytic", "numeric ± estimate", "relative error")]
    for row in rows[:SHOWN]:
        number = "kink" if row.status == "kink" else f"{row.numeric:.8g} ± {row.estimate:.0e}"
        cells.append((f"{row.input}{list(row.index)}", f"{row.analytic:.8g}", number, f"{row.relative_error:.1e}"))
    lines = _align(cells)
    if len(rows) > SHOWN:
        lines.append(f"… {len(rows) - SHOWN} more in report.rows")
    return lines


def _summary_table(summaries: Iterable[InputSummary]) -> list[str]:
    cells = [("input", "shape", "checked", "failing", "largest error")]
    for summary in summaries:
        checked = count(summary.directions, "direction")
        if summary.elements:
            checked += f", {count(summary.elements, 'element')}"
        cells.append((summary.input, str(summary.shape), checked, str(summary.failing), f"{summary.worst:.0e}"))
    return _align(cells)


def _align(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a line of text per row, with columns padded to one width."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


def describe_pattern(name: str, analytic: Any, numeric: Any, failing: Any) -> list[str]:
    """Return a sentence about what the wrong elements of one input have in common; an empty list if nothing.

    Args:
        name: the input.
        analytic: its gradient, as backward computes it.
        numeric: its gradient from finite differences, of the same shape.
        failing: booleans of the same shape, true where the two differ.
    """
    count = int(failing.sum())
    if count < 2:
        return []
    wrong, right = analytic[failing], numeric[failing]
    subject = f"All {count} wrong elements of {name!r}"
    if not wrong.any():
        return [f"{subject} are 0 in the analytic gradient: is it cut off there (a constant, detach, no sum)?"]
    is_square = analytic.ndim == 2 and analytic.shape == numeric.T.shape
    if is_square and np.allclose(analytic, numeric.T, rtol=1e-4, atol=1e-6 * np.abs(analytic).max()):
        return [f"The gradient of {name!r} is the transpose of the numeric one."]
    properties = []
    ratio = np.divide(wrong, right, out=np.full(count, np.nan), where=right != 0)
    if np.ptp(ratio) <= 1e-5 * abs(ratio[0]):
        properties.append(f"are {ratio[0]:.6g} × the numeric value")
    for axis, indices in enumerate(np.nonzero(failing)):
        length = failing.shape[axis]
        if length > 1 and np.ptp(indices) == 0:
            last = " (the last)" if indices[0] == length - 1 else ""
            properties.append(f"have index {indices[0]} on axis {axis}{last}")
    return [f"{subject} {' and '.join(properties)}."] if properties else []
