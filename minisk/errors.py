"""Every error minisk raises on purpose; each names the operation, what it saw and what it expected.

All derive from `MiniskError`, so a command-line tool can turn them into one sentence, and each also from
the built-in exception that a caller would expect.
"""


class MiniskError(Exception):
    """Base of all errors that minisk raises on purpose."""


class ShapeError(MiniskError, ValueError):
    """Shapes, axes or sizes that do not fit an operation."""


class DtypeError(MiniskError, TypeError):
    """A dtype that an operation does not take, or two that must not be mixed silently."""


class DeviceError(MiniskError, RuntimeError):
    """A device that is not there, or arrays of one operation on two devices."""


class GraphError(MiniskError, RuntimeError):
    """A derivative that cannot be had: graph freed, never recorded, or a saved array changed since."""


class AnomalyError(GraphError):
    """A gradient turned NaN or infinite, or a saved array changed behind minisk's back, in anomaly mode."""


class NotFiniteError(AnomalyError):
    """A gradient turned NaN or infinite."""


class SavedValueError(AnomalyError):
    """An array saved for backward is no longer what it was."""


class OverwrittenError(AnomalyError):
    """A backward wrote to the gradient that was handed to it."""


class GradcheckError(MiniskError, AssertionError):
    """A gradient check that did not pass; `report` is what it found."""

    def __init__(self, report: object) -> None:
        super().__init__(str(report))
        self.report = report


class DataError(MiniskError, ValueError):
    """A data set that is missing, damaged or not what it says it is."""


class CheckpointError(MiniskError, ValueError):
    """A checkpoint that is missing, damaged, or of another model."""


class KernelError(MiniskError, RuntimeError):
    """A kernel that does not compile, was launched with arguments it does not take, or failed while it ran."""
