"""The errors that minisk raises on purpose. Each message names the operation, the values seen and those expected.

The functions at the end check the arguments of constructors: a wrong one is reported where it was given.

All derive from `MiniskError`, so that a command can print any of them as one sentence. Each also derives from the
built-in exception that a caller would expect.
"""

import math
import operator
from numbers import Real
from typing import Any

_LONGEST = 4000  # characters of a message; a tensor's name in a file may have a million


def escaped(text: str) -> str:
    """Return the text as `visible` does; of more than 4,000 characters, only start and end."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return visible(text)


def visible(text: str) -> str:
    """Return the text with backslash escapes for all that could move a terminal's cursor or cannot be encoded.

    Line ends and tabs stay. Names of files, tensors, classes and settings may be a stranger's.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class MiniskError(Exception):
    """Base of all errors that minisk raises on purpose. Its text is `escaped`."""

    def __str__(self) -> str:
        return escaped(super().__str__())


class ShapeError(MiniskError, ValueError):
    """Shapes, axes or sizes do not fit the operation."""


class ArgumentError(MiniskError, ValueError):
    """An argument is out of its range, or is not the kind of object that is needed."""


class DtypeError(MiniskError, TypeError):
    """An operation does not accept a dtype, or would have to mix two of them silently."""


class DeviceError(MiniskError, RuntimeError):
    """A device is not available, or the arrays of one operation are on two devices."""


class GraphError(MiniskError, RuntimeError):
    """The derivative cannot be computed: the graph was freed or never recorded, or a saved array was changed."""


class AnomalyError(GraphError):
    """Base of the errors that anomaly mode finds."""


class NotFiniteError(AnomalyError):
    """A gradient is NaN or infinite."""


class SavedValueError(AnomalyError):
    """An array saved for backward was changed before backward ran."""


class OverwrittenError(AnomalyError):
    """A backward wrote to its incoming gradient."""


class GradcheckError(MiniskError, AssertionError):
    """A gradient check failed. `report` is its GradcheckReport."""

    def __init__(self, report: object) -> None:
        super().__init__(str(report))
        self.report = report


class DataError(MiniskError, ValueError):
    """A data set is missing, damaged, or not of the expected kind."""


class CheckpointError(MiniskError, ValueError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class KernelError(MiniskError, RuntimeError):
    """A kernel does not compile, was launched with wrong arguments, or failed while it ran."""


def require_integers(owner: str, least: int = 1, **values: Any) -> None:
    """Raise ShapeError, naming the owner and the argument, unless every value is an integer of at least `least`."""
    for name, value in values.items():
        if not hasattr(value, "__index__") or operator.index(value) < least:
            raise ShapeError(f"{owner}: {name} {value!r} must be an integer of at least {least}")


def require_numbers(owner: str, below: float = math.inf, at_most: float = math.inf, **values: Any) -> None:
    """Raise ArgumentError, naming the owner and the argument, unless every value is a number in the range.

    The range is 0 ≤ value < below and value ≤ at_most. NaN, text and infinity are refused.
    """
    bounds = {"below": below, "at most": at_most}
    bound = "".join(f" and {word} {limit:g}" for word, limit in bounds.items() if limit < math.inf)
    for name, value in values.items():
        try:
            number = float(value) if isinstance(value, Real) else math.nan
        except (TypeError, OverflowError):  # np.timedelta64 counts as a Real; an int can have 400 digits
            number = math.nan
        if not (0 <= number < below and number <= at_most):
            raise ArgumentError(f"{owner}: {name} {value!r} must be a finite number of at least 0{bound}")
