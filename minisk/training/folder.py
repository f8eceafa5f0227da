"""A run's folder belongs to one process at a time; and signals that ask it to stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ..errors import MiniskError


class FolderLock:
    """Holds a folder, made if need be, for this process; to be entered. Raises MiniskError if it can't be had.

    The kernel's lock on the file `lock` counts, not the file: it ends with its process, however that dies, so a lock
    never has to be cleared by hand. The file only names the holder. Where there are no such locks (not POSIX), none is
    taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.descriptor = -1

    def __enter__(self) -> FolderLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise MiniskError(f"output folder {self.folder} can't be written to: {error.strerror}") from error
        try:
            self._take()
        except OSError as error:
            os.close(self.descriptor)
            raise MiniskError(f"output folder {self.folder} can't be locked: {error.strerror}") from error
        for leftover in self.folder.glob(".*.partial"):  # of a process that died while it wrote
            leftover.unlink(missing_ok=True)
        return self

    def _take(self) -> None:
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self.descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self.descriptor)
            raise MiniskError(f"another process (number {holder}) is training into {self.folder}") from None
        os.ftruncate(self.descriptor, 0)
        try:
            os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # the disk is full; the lock is held all the same
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)


class StopSignals:
    """While entered, notes SIGINT (Ctrl-C) and SIGTERM in `received`, to be acted on when it suits; main thread only.

    A second SIGINT raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
