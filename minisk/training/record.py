"""What one sees of a run: a bar or lines, metrics.csv, log.jsonl, curves.png.

None of it is worth a run: if the disk is full or matplotlib missing, that is told once, and training goes on.
"""

import csv
import dataclasses
import io
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..checkpoint import atomic_write
from ..errors import MiniskError
from ..pictures import draw_curves

log = logging.getLogger("minisk")

SECONDS_BETWEEN_LINES = 60.0


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
        before = file.tell()
        try:
            if file.write(line) != len(line):
                file.truncate(before)
        except OSError:
            file.truncate(before)
            raise


def _table(rows: Sequence[dict[str, Any]]) -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode()


class Progress:
    """How far an epoch is: a bar on a terminal, else a line to stderr every minute. To be closed.

    started: `time.perf_counter()` when the run (or its resumed part) began; left: steps after this epoch.
    """

    def __init__(self, title: str, first: int, total: int, left: int, started: float, done: int, show: bool) -> None:
        from tqdm import tqdm

        self.title, self.at, self.total, self.left = title, first, total, left
        self.started, self.done = started, done
        on_terminal = show and sys.stderr.isatty()
        self.lines = show and not on_terminal
        self.bar = tqdm(
            total=total, initial=first, desc=title, unit="step", mininterval=1.0, disable=not on_terminal, leave=False
        )
        self.last_line = time.perf_counter()

    def step(self, loss: float, accuracy: float, images_per_second: float) -> None:
        """Move on by one step."""
        now = time.perf_counter()
        self.at, self.done = self.at + 1, self.done + 1
        seconds = (now - self.started) / self.done * (self.left + self.total - self.at)
        told = f"loss {loss:.3f}, accuracy {accuracy:.1f} %, {images_per_second:.0f} images/s, "
        told += f"{timedelta(seconds=round(seconds))} left in all"
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update()
        if self.lines and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            print(f"{self.title}  step {self.at}/{self.total}  {told}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()
