"""Compares what minisk and the reference made of a program.

A result may be off by ROUNDINGS · eps · (its largest element + its sensitivity) + FLOOR · eps · (the largest of all).
The sensitivity is how much it changes, divided by the noise, if the reference disturbs every operand, result and
gradient. eps is that of the least exact dtype.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from generator import CLEAR
from interpreter import Outcome
from minisk_interpreter import MiniskInterpreter
from steps import Call, Program
from torch_interpreter import TorchInterpreter

from minisk.errors import GraphError, MiniskError

NOISE = 1e-6
FLOOR = 4  # times eps and the largest element: terms inside one backward may cancel
ROUNDINGS = {"float64": 400, "float32": 100, "float16": 30}


@dataclass
class Difference:
    """What differs: a kind, such as "value" or "error"; where; and both sides in words."""

    kind: str
    where: str
    found: str
    expected: str
    operation: str = ""
    is_of_kernels: bool = False

    def __str__(self) -> str:
        operation = f" ({self.operation})" if self.operation else ""
        return f"{self.kind} of {self.where}{operation}\n  minisk    {self.found}\n  reference {self.expected}"


@dataclass
class Reference:
    """The reference's outcome, and what the comparison must know of the run.

    eps, is_stale, has_no_slope: as in TorchInterpreter.
    is_on_kink: whether an operand is so close to a kink, or a pole, that rounding decides.
    """

    program: Program
    clean: Outcome
    eps: float
    is_stale: bool
    has_no_slope: bool
    is_on_kink: bool

    @functools.cached_property
    def largest(self) -> float:
        """The largest finite element of all values and gradients, at least 1."""
        arrays = [*self.clean.values.values(), *self.clean.gradients.values()]
        return max(1.0, *(float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in arrays if a.dtype.kind == "f"))

    @functools.cached_property
    def noisy(self) -> Outcome:
        """The disturbed outcome; computed only if a result is off by more than its own rounding."""
        return TorchInterpreter(self.program, NOISE).run(self.program)


def reference_of(program: Program) -> Reference:
    run = TorchInterpreter(program)
    outcome = run.run(program)
    is_on_kink = program.style == "smooth" and run.kink_distance < CLEAR[dtype_of(run.eps)] / 3
    is_on_kink |= run.divides_by_computed_zero
    return Reference(program, outcome, run.eps, run.is_stale, run.has_no_slope, is_on_kink)


def dtype_of(eps: float) -> str:
    return "float16" if eps > 1e-4 else "float32" if eps > 1e-8 else "float64"


def differences(program: Program, reference: Reference, found: Outcome) -> list[Difference]:
    """Return what differs between minisk's outcome and the reference; nothing for a program on a kink."""
    if reference.is_on_kink:
        return []
    return [
        *error_differences(program, reference, found),
        *result_differences(program, reference, found, "value", found.values, reference.clean.values),
        *gradient_differences(program, reference, found),
    ]


def error_differences(program: Program, reference: Reference, found: Outcome) -> list[Difference]:
    listed = []
    expected = reference.clean.errors
    for place in sorted({*expected, *found.errors}, key=str):
        ours, theirs = found.errors.get(place), expected.get(place)
        if isinstance(place, str):
            is_stale_error = isinstance(ours, GraphError) and reference.is_stale and "in place" in str(ours)
            if ours is not None and theirs is None and not is_stale_error:
                listed.append(Difference("error", place, describe(ours), "no error"))
            elif ours is None and theirs is not None:
                listed.append(Difference("error", place, "no error", describe(theirs)))
            continue
        step = program.steps[place]
        operation = step.operation if isinstance(step, Call) else type(step).__name__
        if (ours is None) != (theirs is None):
            listed.append(Difference("error", step.source(), describe(ours), describe(theirs), operation))
        elif ours is not None and not isinstance(ours, MiniskError):
            listed.append(Difference("class of error", step.source(), describe(ours), "a MiniskError", operation))
    return listed


def describe(error: Exception | None) -> str:
    first_line = str(error).partition("\n")[0]
    return "no error" if error is None else f"{type(error).__name__}: {first_line}"


def maker(program: Program, label: str) -> str:
    """Return the operation that computed the value of this label."""
    name = label.split()[0]
    return next((s.operation for s in program.steps if isinstance(s, Call) and name in s.names), "")


def result_differences(
    program: Program, reference: Reference, found: Outcome, kind: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> list[Difference]:
    """Compare the results that both have; a missing one is an error's consequence, or reported as that."""
    listed = []
    for label in theirs:
        if label not in ours:
            continue
        expected_dtype = reference.clean.dtypes[label]
        found_dtype = found.dtypes[label]
        wrong = array_difference(program, reference, label, ours[label], theirs[label])
        if expected_dtype != found_dtype and expected_dtype != "float":
            wrong = f"{found_dtype}", f"{expected_dtype}"
            listed.append(Difference("dtype", label, *wrong, maker(program, label)))
        elif wrong is not None:
            listed.append(Difference(kind, label, *wrong, maker(program, label)))
    return listed


def array_difference(
    program: Program, reference: Reference, label: str, ours: np.ndarray, theirs: np.ndarray
) -> tuple[str, str] | None:
    """Return both arrays in words if they differ by more than rounding; NaN and infinities must stand alike."""
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}", f"shape {theirs.shape}"
    is_gradient = label not in reference.clean.values
    if theirs.dtype.kind != "f":
        return None if np.array_equal(ours, theirs) else in_words(ours, theirs)
    given = ours, theirs
    ours = ours.astype(np.float64)
    finite = np.isfinite(theirs)
    if not label.startswith("second") and is_gradient and program.style == "special":
        known = ~np.isnan(theirs)  # PyTorch multiplies by masks and by sums of 1, and 0 · inf is NaN
        finite, ours, theirs = finite[known], ours[known], theirs[known]
    if label.startswith("second") and program.style == "special":
        finite &= np.isfinite(ours)  # whether inf - inf or 0 · inf arises depends on the formula of each backward
        ours, theirs = np.where(finite, ours, 0), np.where(finite, theirs, 0)
    if not np.array_equal(np.where(finite, 0, theirs), np.where(np.isfinite(ours), 0, ours), equal_nan=True):
        return in_words(*given)
    scale = np.abs(theirs[finite]).max(initial=0)
    error = np.abs(ours[finite] - theirs[finite]).max(initial=0)
    name = dtype_of(reference.eps)
    least = 1e-6 if name == "float16" else 0.0  # its subnormal numbers
    allowed = ROUNDINGS[name] * reference.eps * scale + FLOOR * reference.eps * reference.largest + least
    if error > allowed:
        allowed += ROUNDINGS[name] * reference.eps * sensitivity(reference, label, theirs)
    if error <= allowed:
        return None
    words = in_words(*given)
    return f"off by {error:.3g}\n{words[0]}", f"allowed {allowed:.3g}\n{words[1]}"


def in_words(ours: np.ndarray, theirs: np.ndarray) -> tuple[str, str]:
    return np.array2string(ours, threshold=40), np.array2string(theirs, threshold=40)


def sensitivity(reference: Reference, label: str, clean: np.ndarray) -> float:
    """Return how much a result changes with the noise, divided by the noise."""
    noisy = reference.noisy.values.get(label, reference.noisy.gradients.get(label))
    if noisy is None or noisy.shape != clean.shape:
        return 0.0
    both = np.isfinite(clean) & np.isfinite(noisy)
    return float(np.abs(noisy[both] - clean[both]).max(initial=0)) / NOISE


def gradient_differences(program: Program, reference: Reference, found: Outcome) -> list[Difference]:
    """Compare gradients; if one library has none, its error was compared, or the gradient is missing."""
    if reference.has_no_slope:
        return []
    expected = reference.clean.gradients
    listed = result_differences(program, reference, found, "gradient", found.gradients, expected)
    if found.errors.keys() - reference.clean.errors.keys():
        return listed
    for label in sorted(expected.keys() ^ found.gradients.keys()):
        words = ("computed", "absent") if label in found.gradients else ("absent", "computed")
        present = found.gradients.get(label, expected.get(label))
        assert present is not None
        zeros = np.zeros_like(present)
        pair = (present, zeros) if label in found.gradients else (zeros, present)
        if array_difference(program, reference, label, *pair) is not None:  # zeros may be left out
            listed.append(Difference("presence", label, *words))
    for label in found.gradients:
        owner = label.split()[1]
        if owner in found.dtypes and found.dtypes[owner] != found.dtypes[label]:
            listed.append(Difference("dtype", label, found.dtypes[label], found.dtypes[owner]))
    return listed


def run_minisk(program: Program, **how: Any) -> Outcome:
    return MiniskInterpreter(**how).run(program)
