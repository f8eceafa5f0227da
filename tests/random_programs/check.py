"""Runs a program on the reference, on minisk with NumPy formulas, and on minisk with compiled kernels; compares all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agreement import kernel_mode
from comparison import Difference, Reference, differences, reference_of
from kernel_comparison import Agreement, compared_kernels
from minisk_interpreter import MiniskInterpreter
from rounding import RoundingCheck
from steps import Call, Program

from minisk.runtime import why_no_kernels


@dataclass(frozen=True)
class KnownDifference:
    """A difference by decision or by nature.

    reason: why it is no fault of minisk.
    applies: whether a difference in a program is this one.
    spreads: whether it explains every other difference in the program.
    """

    reason: str
    applies: Callable[[Program, Difference], bool]
    spreads: bool = False


def trains_batch_norm(program: Program) -> bool:
    steps = [step for step in program.steps if isinstance(step, Call)]
    return any(step.operation == "batch_norm" and step.settings["training"] for step in steps)


def has_no_number(text: str) -> bool:
    return "nan" in text or "inf" in text


def is_computed(program: Program, difference: Difference) -> bool:
    """Return whether a gradient is that of a result, not of a leaf."""
    name = difference.where.split()[-1]
    return any(isinstance(step, Call) and name in step.names for step in program.steps)


CONVOLUTIONS = {"conv2d", "conv2d_affine"}

# The reference follows most conventions itself: see torch_interpreter.result_dtype and torch_interpreter.refuse.
KNOWN = [
    KnownDifference(
        "argmax of bools: minisk follows NumPy, PyTorch refuses them",
        lambda program, d: d.operation == "argmax" and "does not support bool" in d.expected,
    ),
    KnownDifference(
        "integer powers of bools: minisk follows NumPy, whose bool ** int is int8",
        lambda program, d: d.kind == "dtype" and d.operation == "pow" and d.found == "int8",
    ),
    KnownDifference(
        "a bool Tensor minus a number: minisk follows NumPy, PyTorch refuses it",
        lambda program, d: "Subtraction, the `-` operator, with a bool tensor" in d.expected,
    ),
    KnownDifference(
        "pooling of images without channels: the result has none either, PyTorch refuses them",
        lambda program, d: "with optional 0 dim batch size" in d.expected,
    ),
    KnownDifference(
        "interpolate of images without channels: the result has none either, PyTorch refuses them",
        lambda program, d: d.operation == "interpolate" and "Non-empty 4D data tensor" in d.expected,
    ),
    KnownDifference(
        "convolution of infinities: its kernel leaves padding out, where the formula computes 0 · inf = NaN",
        lambda program, d: (
            program.style == "special"
            and not CONVOLUTIONS.isdisjoint(program.operations)
            and (d.is_of_kernels or d.operation == "conv2d_affine")
        ),
    ),
    KnownDifference(
        "a second derivative in float16 with values above 65504",
        lambda program, d: d.where.startswith("second") and "float16" in program.script() and has_no_number(d.found),
    ),
    KnownDifference(
        "select: both results require gradients if a branch does, because they are results of one operation",
        lambda program, d: "select" in program.operations and "a recorded write" in d.expected + d.found,
        spreads=True,
    ),
    KnownDifference(
        "select: both results require gradients if a branch does, so an indexed write to the weights is refused",
        lambda program, d: "select" in program.operations and "in-place write can't be recorded" in d.found,
        spreads=True,
    ),
    KnownDifference(
        "select: the gradient of the sum depends on the weights, which the reference computes a second time",
        lambda program, d: "select" in program.operations and d.where.startswith("second") and is_computed(program, d),
    ),
    KnownDifference(
        "integers of two dtypes, one in a Tensor of shape (): minisk follows NumPy, where it counts as any other",
        lambda program, d: d.kind == "dtype" and (d.found, d.expected) in {("int64", "int32"), ("int64", "uint8")},
    ),
    KnownDifference(
        "interpolate: a pixel of weight 0 is not read, where PyTorch computes 0 · inf = NaN",
        lambda program, d: program.style == "special" and d.operation == "interpolate" and "nan" in d.expected,
        spreads=True,
    ),
    KnownDifference(
        "cross entropy: a class of share 0 has no part, where PyTorch computes 0 · inf = NaN",
        lambda program, d: program.style == "special" and d.operation == "cross_entropy" and "nan" in d.expected,
        spreads=True,
    ),
    KnownDifference(
        "batch norm in training of NaN or infinity: the statistics of kernel, formula and PyTorch differ in them",
        lambda program, d: program.style == "special" and trains_batch_norm(program),
    ),
]


@dataclass
class Tally:
    """Counts over many programs, and how kernels and formulas agreed."""

    programs: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    uncompared: Counter[str] = field(default_factory=Counter)
    second_gradients: int = 0
    agreement: Agreement = field(default_factory=Agreement)


def check(program: Program, tally: Tally | None = None) -> list[Difference]:
    """Return the differences that are not known ones."""
    tally = Tally() if tally is None else tally
    reference = reference_of(program)
    rounding = RoundingCheck()
    formulas = MiniskInterpreter(rounding)
    with kernel_mode("numpy"):
        found = differences(program, reference, formulas.run(program)) + rounding.differences
    if why_no_kernels() is None:
        found += kernel_differences(program, reference, tally.agreement)
    count(program, reference, formulas, tally)
    if any(known.spreads and known.applies(program, difference) for known in KNOWN for difference in found):
        found = found[:0]
        tally.uncompared["after a known fault"] += 1
    return [difference for difference in found if not is_known(program, difference, tally)]


def kernel_differences(program: Program, reference: Reference, agreement: Agreement) -> list[Difference]:
    """Run with kernels; return differences from the reference, and between each kernel and its formula."""
    agreement.differences.clear()
    with compared_kernels(agreement):
        found = differences(program, reference, MiniskInterpreter().run(program))
    for difference in found:
        difference.is_of_kernels = True
    pairs = [(line.split(":")[0], line) for line in agreement.differences]
    return found + [Difference("kernel", name, line, "the formula's result", name, True) for name, line in pairs]


def is_known(program: Program, difference: Difference, tally: Tally) -> bool:
    for known in KNOWN:
        if known.applies(program, difference):
            tally.known[known.reason] += 1
            return True
    return False


def count(program: Program, reference: Reference, run: MiniskInterpreter, tally: Tally) -> None:
    tally.programs += 1
    tally.operations.update(program.operations)
    tally.second_gradients += any(label.startswith("second") for label in run.outcome.gradients)
    tally.uncompared["on a kink"] += reference.is_on_kink
    tally.uncompared["gradients at NaN"] += reference.has_no_slope
    tally.uncompared["backward refused after a write"] += "first" in run.outcome.errors


def same_kind(a: Difference, b: Difference) -> bool:
    """Return whether two differences are probably one fault: kind, operation and phase."""
    return (a.kind, a.operation, a.where.split()[0]) == (b.kind, b.operation, b.where.split()[0])
