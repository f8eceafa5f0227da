"""A limit for the time of a launch: a signal ends it, as Ctrl-C does (include/crashes.h)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STILL_RUNNING = "is still running"  # the end of the message of include/crashes.h
_AGAIN = 0.05  # seconds until a thread that was in a function of the C library gets the signal again


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Send SIGURG to the calling thread after some seconds, again and again until the block ends; None: never."""
    if seconds is None:
        yield
        return
    launching, is_over = threading.get_ident(), threading.Event()

    def watch() -> None:
        if is_over.wait(seconds):
            return
        while True:
            signal.pthread_kill(launching, signal.SIGURG)
            if is_over.wait(_AGAIN):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def limit_reached(error: str, seconds: float | None) -> str:
    """Return the sentence of a launch that a time limit has ended; any other error unchanged."""
    if seconds is None or not error.endswith(STILL_RUNNING):
        return error
    return f"{error} after {seconds:g} s: a loop that does not end? If it only takes long, raise the limit (--timeout)"
