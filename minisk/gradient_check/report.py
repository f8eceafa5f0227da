"""What a gradient check found: a verdict with its remedy, the worst elements, a summary per input, and the cost."""

import enum
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 10  # rows of the table that are printed


class Verdict(enum.Enum):
    """The outcome of a check; each has one `remedy`."""

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
    TOO_NOISY = "too noisy to tell"

    @property
    def remedy(self) -> str:
        return _REMEDIES[self]


_REMEDIES = {
    Verdict.CORRECT: "nothing to do.",
    Verdict.WRONG: "compare backward with the derivative on paper, beginning with the first row of the table.",
    Verdict.NOT_DIFFERENTIABLE: "check at another point: no ties, nothing exactly at a kink such as ReLU's 0.",
    Verdict.NOT_FINITE: "check inside the function's domain, or guard the division, log or root that leaves it.",
    Verdict.NONDETERMINISTIC: "seed what is random inside the function, or switch it off (eval mode).",
    Verdict.OVERWRITTEN: "work on a copy: `dx = dout * mask`, not `dout *= mask`: others read it.",
    Verdict.MALFORMED: "return one gradient per input, of its shape, dtype and device; sum over broadcast axes.",
    Verdict.NOT_LINEAR: "multiply by the incoming gradient exactly once; don't drop, square, clip or branch on it.",
    Verdict.SAVED_CHANGED: "save a copy, or write to nothing that save_for_backward or ctx was given.",
    Verdict.HIGHER_ORDER: "write backward with Tensor operations on ctx.saved_tensors: arrays and attributes of ctx "
    "count as constants there.",
    Verdict.TOO_NOISY: "check in float64 throughout, or scale inputs and outputs to about 1.",
}


@dataclass(frozen=True)
class Row:
    """One element of a gradient; `analytic` and `numeric` are derivatives of the randomly weighted sum of the outputs.

    estimate: the numeric derivative's own error; status: "differs", "kink", "noisy" or "agrees".
    """

    input: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    estimate: float
    status: str

    @property
    def relative_error(self) -> float:
        scale = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / scale if scale else 0.0


@dataclass
class Summary:
    """What was looked at in one input or parameter, and the largest relative residual (of a slope or an element)."""

    input: str
    shape: tuple[int, ...]
    directions: int = 0
    elements: int = 0
    failing: int = 0
    worst: float = 0.0


@dataclass
class GradcheckReport:
    """The result of `gradcheck`; `print(report)` shows it.

    ok: nothing is wrong with the gradient. verdict: a Verdict. message: what was seen, in a sentence or two. rows: the
    worst elements, worst first. summaries: by input. notes: what else to know. errors: analytic minus numeric of every
    input examined element by element. evaluations, gradients, seconds: the cost. chance_to_miss: of one element of the
    Jacobian that is off by 100 times the resolution, the smallest difference noticed along a random direction.
    """

    ok: bool = False
    verdict: Verdict = Verdict.CORRECT
    message: str = ""
    rows: list[Row] = field(default_factory=list)
    summaries: dict[str, Summary] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    errors: dict[str, Any] = field(default_factory=dict, repr=False)
    chance_to_miss: float = 1.0
    resolution: float = 0.0
    order: int = 1
    dtype: str = "float64"
    seed: int = 0
    evaluations: int = 0
    gradients: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        """Return everything but the arrays of errors as JSON; numbers that are not finite become null."""
        told = asdict(self) | {"verdict": self.verdict.value, "remedy": self.verdict.remedy}
        del told["errors"]
        told["rows"] = [asdict(row) | {"relative_error": row.relative_error} for row in self.rows]
        finite = json.loads(json.dumps(told), parse_constant=lambda _: None)  # called for NaN and ±Infinity
        return json.dumps(finite, indent=2, allow_nan=False)

    def __str__(self) -> str:
        lines = [f"gradcheck: {self.verdict.value}"]
        remedy = [] if self.verdict is Verdict.CORRECT else [f"Remedy: {self.verdict.remedy}"]
        for text in (self.message, *self.notes, *remedy):
            lines += textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ")
        if self.rows:
            lines += ["", *_element_table(self.rows)]
        if self.summaries:
            lines += ["", *_summary_table(self.summaries.values())]
        cost = f"{self.evaluations} evaluations, {self.gradients} gradients, {self.seconds:.2f} s"
        lines += ["", f"cost: {cost} (order {self.order}, {self.dtype}, seed {self.seed})"]
        return "\n".join(lines)

    def save_picture(self, path: str | Path) -> None:
        """Write a heat map (PNG) of |analytic - numeric| over each input examined element by element.

        Black is 0, white the largest. Axes but the last two are laid out from top to bottom and left to right.
        """
        from PIL import Image

        tiles = [_heat(np.abs(error)) for error in self.errors.values()] or [np.zeros((1, 1))]
        width = max(tile.shape[1] for tile in tiles)
        picture = 255 * np.concatenate([np.pad(tile, ((0, 1), (0, width - tile.shape[1]))) for tile in tiles])
        cell = max(1, 640 // max(picture.shape))
        Image.fromarray(np.kron(picture, np.ones((cell, cell))).astype(np.uint8)).save(path)


def _heat(error: Any) -> Any:
    """Lay an array out in a plane, scaled to [0, 1]."""
    last_three = (1, 1, 1, *error.shape)[-3:]
    error = np.nan_to_num(error.reshape(-1, *last_three), posinf=0.0)
    rows, columns, height, width = error.shape
    plane = error.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    return plane / (plane.max(initial=0) or 1)


def _element_table(rows: list[Row]) -> list[str]:
    cells = [("element", "analytic", "numeric ± estimate", "relative error")]
    for row in rows[:SHOWN]:
        number = "kink" if row.status == "kink" else f"{row.numeric:.8g} ± {row.estimate:.0e}"
        cells.append((f"{row.input}{list(row.index)}", f"{row.analytic:.8g}", number, f"{row.relative_error:.1e}"))
    return _aligned(cells) + ([f"… {len(rows) - SHOWN} more in report.rows"] if len(rows) > SHOWN else [])


def _summary_table(summaries: Iterable[Summary]) -> list[str]:
    cells = [("input", "shape", "checked", "failing", "largest error")]
    for s in summaries:
        elements = f", {s.elements} elements" if s.elements else ""
        cells.append((s.input, str(s.shape), f"{s.directions} directions{elements}", str(s.failing), f"{s.worst:.0e}"))
    return _aligned(cells)


def _aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]


def pattern(name: str, analytic: Any, numeric: Any, failing: Any) -> list[str]:
    """Say in a sentence what the wrong elements of one input have in common, if anything.

    analytic, numeric: the gradient twice; failing: booleans of its shape, true where they differ.
    """
    wrong, right, count = analytic[failing], numeric[failing], int(failing.sum())
    if count < 2:
        return []
    which = f"All {count} wrong elements of {name!r}"
    if not wrong.any():
        return [f"{which} are 0 in the analytic gradient: is it cut off there (a constant, detach, no sum)?"]
    is_square = analytic.ndim == 2 and analytic.shape == numeric.T.shape
    if is_square and np.allclose(analytic, numeric.T, rtol=1e-4, atol=1e-6 * np.abs(analytic).max()):
        return [f"The gradient of {name!r} is the transpose of the numeric one."]
    told = []
    ratio = np.divide(wrong, right, out=np.full(count, np.nan), where=right != 0)
    if np.ptp(ratio) <= 1e-5 * abs(ratio[0]):
        told.append(f"are {ratio[0]:.6g} × the numeric value")
    for axis, place in enumerate(np.nonzero(failing)):
        if failing.shape[axis] > 1 and np.ptp(place) == 0:
            last = " (the last)" if place[0] == failing.shape[axis] - 1 else ""
            told.append(f"have index {place[0]} on axis {axis}{last}")
    return [f"{which} {' and '.join(told)}."] if told else []
