"""A run's folder: it belongs to one process at a time, which keeps a record there.

The record is what one sees of a run: a bar or lines, metrics.csv, log.jsonl, curves.png. None of it is worth a run: if
the disk is full or matplotlib missing, that is told once, and training goes on.
"""

import dataclasses
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..analysis.figures import draw_curves
from ..errors import MiniskError
from ..serialization import atomic_write

log = logging.getLogger("minisk")

SECONDS_BETWEEN_LINES = 60.0
_LINE = "{desc}  step {n_fmt}/{total_fmt}{postfix}, {remaining} left in all\n"


@dataclass(frozen=True)
class Metrics:
    """One epoch, one row of metrics.csv: losses in nats, accuracies and waiting in percent, time in seconds.

    images_per_second, seconds and waiting (the share of it spent waiting for data) are of training alone.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    images_per_second: float
    seconds: float
    waiting: float


class Record:
    """Writes what happens to a run's folder; its files are whole at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failed: set[str] = set()

    def event(self, name: str, **details: Any) -> None:
        """Append one line to log.jsonl; numbers that are not finite, which JSON lacks, become null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in details.items()}
        line = json.dumps({"event": name, "time": round(time.time(), 3), **finite}) + "\n"
        self._try("log.jsonl", lambda path: _append(path, line.encode()))

    def epoch(self, history: Sequence[Metrics]) -> None:
        """Note the last epoch of the history: rewrite metrics.csv and curves.png, append to the log."""
        rows = [dataclasses.asdict(metrics) for metrics in history]
        self._try("metrics.csv", lambda path: atomic_write(path, _table(rows)))
        self._try("curves.png", lambda path: draw_curves(rows, path))
        self.event("epoch", **rows[-1])

    def _try(self, name: str, write: Callable[[Path], None]) -> None:
        try:
            write(self.folder / name)
            self._failed.discard(name)
        except (OSError, MiniskError) as error:
            if name not in self._failed:
                reason = getattr(error, "strerror", None) or error
                log.warning("%s could not be written: %s; training goes on", self.folder / name, reason)
            self._failed.add(name)


def _append(path: Path, line: bytes) -> None:
    """Append a line whole or not at all."""
    with open(path, "ab", buffering=0) as file:
        before, written = file.tell(), 0
        try:
            written = file.write(line)
        finally:
            if written < len(line):
                file.truncate(before)


def _table(rows: Sequence[dict[str, Any]]) -> bytes:
    lines: list[Any] = [rows[0].keys(), *(row.values() for row in rows)]  # names and numbers: there is nothing to quote
    return "".join(",".join(map(str, line)) + "\r\n" for line in lines).encode()


def progress_bar(title: str, done: int, total: int, show: bool) -> "tqdm[Any]":
    """Return a bar over the steps of a run, of which so many are done: on a terminal, else a line every minute."""
    on_terminal = sys.stderr.isatty()
    seconds, line = (1.0, None) if on_terminal else (SECONDS_BETWEEN_LINES, _LINE)
    return tqdm(
        desc=title,
        initial=done,
        total=total,
        disable=not show,
        leave=False,
        unit="step",
        smoothing=0,
        mininterval=seconds,
        delay=seconds,
        bar_format=line,
    )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, for this process. Raises MiniskError if it can't be had.

    The kernel's lock on the file `lock` counts, not the file: it ends with its process, however that dies, so a lock
    never has to be cleared by hand. The file only names the holder. Where there are no such locks (not POSIX), none is
    taken.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise MiniskError(f"output folder {folder} can't be written to: {error.strerror}") from error
    try:
        _lock(descriptor, folder)
        for leftover in folder.glob(".*.partial"):  # of a process that died while it wrote
            leftover.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise MiniskError(f"another process (number {holder}) is training into {folder}") from None
    except OSError as error:
        raise MiniskError(f"output folder {folder} can't be locked: {error.strerror}") from error
    with suppress(OSError):  # the disk is full; the lock is held all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
