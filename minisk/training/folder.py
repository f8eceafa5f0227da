"""A run's folder belongs to one process at a time; and signals that ask it to stop."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ..errors import MiniskError


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


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect each SIGINT (Ctrl-C) and SIGTERM in a list for a while, to be acted on when it suits; main thread only.

    A SIGINT that is not the first signal raises KeyboardInterrupt.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
