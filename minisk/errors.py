"""The errors that minisk raises on purpose. Each message names the operation, the values seen and those expected.

All derive from `MiniskError`, so that a command can print any of them as one sentence. Each also derives from the
built-in exception that a caller would expect.
"""

_LONGEST = 4000  # characters of a message; a tensor's name in a file may have a million


def escaped(text: str) -> str:
    """Return the text with backslash escapes for all that could move a terminal's cursor or cannot be encoded.

    Of a text of more than 4,000 characters, only start and end are kept. Line ends and tabs stay. Text of a file may be
    a stranger's: the names of tensors, classes and settings, for example.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class MiniskError(Exception):
    """Base of all errors that minisk raises on purpose. Its text is `escaped`."""

    def __str__(self) -> str:
        return escaped(super().__str__())


class ShapeError(MiniskError, ValueError):
    """Shapes, axes or sizes do not fit the operation."""


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
