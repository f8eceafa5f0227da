"""What every command shares as a process: its exit status, its error messages, and its output streams."""

import io
import os
import sys
from collections.abc import Callable

from ..errors import MiniskError, escaped
from ..interrupts import end_at_interrupt, raise_at_interrupt

BROKEN_PIPE = 141  # 128 + SIGPIPE, the status of a program that this signal ended


def run_command(name: str, work: Callable[[], int | None]) -> int:
    """Run a command and return its exit status: work's own, 1 after an error, 130 after Ctrl-C, 141 without a reader.

    Args:
        name: stands before the error message, which is written to stderr.
        work: parses the arguments and does everything else; None counts as 0.
    """
    if sys.stdout is None:  # closed by the caller, as in `minisk info >&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    if isinstance(sys.stdout, io.TextIOWrapper):  # an ASCII terminal gets \\xd7 for ×, not a traceback
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        raise_at_interrupt()
        try:
            return int(work() or 0)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has ended, as in `minisk info | head -1`
        _discard_output()
        return BROKEN_PIPE
    except (MiniskError, OSError, MemoryError) as error:
        _report(name, error)
        return 1
    finally:
        end_at_interrupt()


def _report(name: str, error: Exception) -> None:
    text = escaped(str(error)) or "not enough memory"
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = escaped(f"{error.filename}: {error.strerror}")
    print(f"{name}: {text}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # the disk that stdout is written to is full: Python would fail again when it ends
        _discard_output()


def _discard_output() -> None:
    """Point stdout to nowhere, so that Python's flush at exit cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
