"""A run's folder: the lock that gives it to one process, and the logs that this process writes.

The logs are a progress bar or lines, metrics.csv, log.jsonl, curves.png and scalars for TensorBoard. A failure to write
them (a full disk, no matplotlib) never stops training; it is reported once.
"""

import dataclasses
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..analysis.figures import draw_curves
from ..errors import CheckpointError, MiniskError
from ..serialization import atomic_write, csv_text, save_checkpoint

log = logging.getLogger("minisk")

# The temporary names that `atomic_write` gives to the files of a run.
_PARTIAL = re.compile(r"\.[a-z_]+\.(safetensors|json|csv|png)\.\d+\.partial")
SECONDS_BETWEEN_LINES = 60.0
_LINE = "{desc}  step {n_fmt}/{total_fmt}{postfix}, {remaining} left in all\n"


@dataclass(frozen=True)
class Metrics:
    """One epoch, one row of metrics.csv: losses in nats, accuracies and waiting in percent, time in seconds.

    images_per_second, seconds and waiting (the percentage of them spent waiting for data) exclude evaluation.
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


class RunLog:
    """Writes the logs of a run to its folder; its files are complete at any time.

    tensorboard: also write scalars to the folder `tensorboard`. Raises MiniskError if tensorboardX is missing.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.folder = folder
        self._failed: set[str] = set()
        if tensorboard:
            _require_tensorboard()
        self._tensorboard = tensorboard
        self._events: EventFile | None = None

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        """Keep the TensorBoard file open for a while. step: steps done; later scalars are dropped."""
        if self._tensorboard:
            with self._failure_reported("tensorboard"):
                self._events = EventFile(self.folder / "tensorboard", first_step=step + 1)
        try:
            yield
        finally:
            if self._events is not None:
                with self._failure_reported("tensorboard"):
                    self._events.close()
            self._events = None

    def event(self, name: str, **details: Any) -> None:
        """Append one line to log.jsonl; numbers that are not finite, which JSON lacks, become null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in details.items()}
        line = json.dumps({"event": name, "time": round(time.time(), 3), **finite}) + "\n"
        with self._failure_reported("log.jsonl"):
            _append(self.folder / "log.jsonl", line.encode())

    def step(self, step: int, **scalars: float) -> None:
        """Log scalars of one optimizer step, counted from 1 over the whole run."""
        self.event("step", step=step, **scalars)
        self._scalars("step", step, scalars)

    def epoch(self, history: Sequence[Metrics], step: int, rates: Sequence[float]) -> None:
        """Log the last epoch of the history, which ended after `step` steps; rewrite metrics.csv and curves.png.

        rates: the learning rate at evenly spaced steps, from the first to the last.
        """
        rows = [dataclasses.asdict(metrics) for metrics in history]
        with self._failure_reported("metrics.csv"):
            table = csv_text(list(rows[0]), rows, line_end="\r\n")
            atomic_write(self.folder / "metrics.csv", table.encode())
        with self._failure_reported("curves.png"):
            draw_curves(rows, self.folder / "curves.png", rates)
        self.event("epoch", **rows[-1])
        self._scalars("epoch", step, {name: value for name, value in rows[-1].items() if name != "epoch"})

    def save_batch(self, arrays: dict[str, Any], about: dict[str, Any]) -> str:
        """Write bad_batch.safetensors. Return the end of an error message that names it; empty if that failed."""
        path = self.folder / "bad_batch.safetensors"
        try:
            save_checkpoint(path, arrays, about)
        except CheckpointError as error:
            log.warning("%s", error)
            return ""
        return f"; the batch is in {path}"

    def _scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        if self._events is not None:
            with self._failure_reported("tensorboard"):
                self._events.add({f"{group}/{name}": value for name, value in scalars.items()}, step)

    @contextmanager
    def _failure_reported(self, name: str) -> Iterator[None]:
        """Log a failure to write this file instead of raising it, once until a write succeeds."""
        try:
            yield
            self._failed.discard(name)
        except (OSError, MiniskError) as error:
            if name not in self._failed:
                reason = getattr(error, "strerror", None) or error
                log.warning("%s could not be written: %s; training goes on", self.folder / name, reason)
            self._failed.add(name)


class SilentLog(RunLog):
    """The log of a rank other than 0: nothing is written."""

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        yield

    def event(self, name: str, **details: Any) -> None:
        pass

    def epoch(self, history: Sequence[Metrics], step: int, rates: Sequence[float]) -> None:
        pass

    def save_batch(self, arrays: dict[str, Any], about: dict[str, Any]) -> str:
        return ""


class EventFile:
    """A file of scalars for TensorBoard.

    tensorboardX's SummaryWriter writes in a thread. At a full disk the thread ends, its queue fills up, and training
    waits for it without end. So this class calls the writer of records behind it directly, which raises OSError.

    Args:
        folder: made if need be.
        first_step: TensorBoard forgets the scalars of older files from this step on: a resumed run logs them again.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a run in the order of their names.
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"))
        self._write(file_version="brain.Event:2")
        self._write(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, scalars: Mapping[str, float], step: int) -> None:
        """Write the scalars of one step to the disk. Raises OSError."""
        from tensorboardX.summary import scalar

        for name, value in scalars.items():
            self._write(step=step, summary=scalar(name, value))
        self._records.flush()

    def close(self) -> None:
        """Close the file. Raises OSError."""
        self._records.close()

    def _write(self, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **content).SerializeToString())


def _require_tensorboard() -> None:
    """Raise MiniskError if tensorboardX is missing."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise MiniskError('--tensorboard needs tensorboardX: pip install "minisk[tensorboard]"') from error


def _append(path: Path, line: bytes) -> None:
    """Append a line whole or not at all."""
    with open(path, "ab", buffering=0) as file:
        before, written = file.tell(), 0
        try:
            written = file.write(line)
        finally:
            if written < len(line):
                file.truncate(before)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json. Raises MiniskError."""
    try:
        atomic_write(folder / "config.json", json.dumps(config, indent=2).encode())
    except OSError as error:
        raise MiniskError(f"output folder {folder} can't be written to: {error.strerror or error}") from error


def progress_bar(title: str, done: int, total: int, show: bool) -> "tqdm[Any]":
    """Return a bar over the steps of a run, of which `done` are done: on a terminal, otherwise a line every minute."""
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
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock a folder, made if need be, for this process. Raises MiniskError if it cannot be locked or written to.

    The lock is the operating system's, on the file `lock`. It ends with its process, however the process ends, so a
    lock never has to be removed by hand. The file only names the holder. Systems other than POSIX take no lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise MiniskError(f"output folder {folder} can't be written to: {error.strerror}") from error
    try:
        _lock(descriptor, folder)
        for leftover in folder.glob(".*.partial"):  # of a process that was killed while it wrote
            if _PARTIAL.fullmatch(leftover.name) and leftover.is_file():
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
    with suppress(OSError):  # the disk is full; the lock is held anyway
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
