"""Worker processes for the Loader: each makes every n-th batch and sends it through a pipe of its own.

The data set is in anonymous shared memory (mapped from a file that has no name any more), which the system frees with
the last process that has it, whatever way they end: there is nothing to clean up. A pipe that is full holds its worker
back, one that is closed ends it, and a killed worker's is noticed at once: there are no queues, whose locks it could
take along. Batch i is worker i's, modulo their number, so nothing depends on who is faster.
"""

import atexit
import multiprocessing
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset
from .loader import Batch, Loader

_SPAWN = multiprocessing.get_context("spawn")  # a forked child hangs in the libraries that had threads


def worker_batches(loader: Loader, epoch: int, numbers: range) -> Generator[Batch, None, None]:
    """Yield the batches of these numbers, made by the loader's ``workers``.

    Raises DataError when one raises an exception or dies, or can't be started.
    """
    # All that grows with the data set is shared, also because what a process is sent must fit into a pipe:
    # Process.start() would wait for ever for a child that died before it had read the rest.
    data, workers = loader.dataset, min(loader.workers, len(numbers))
    shared = _shared(data.images), _shared(data.labels), data.images.shape, data.classes
    settings = {**vars(loader), "dataset": None}
    with ExitStack() as pool:
        atexit.register(pool.close)  # for an iterator still open then
        pool.callback(atexit.unregister, pool.close)
        serving = [
            pool.enter_context(_worker(settings, shared, epoch, numbers[first::workers])) for first in range(workers)
        ]
        for i, number in enumerate(numbers):
            yield _receive(*serving[i % workers], number)


def _shared(array: NDArray[Any]) -> Any:
    """Copy an array's bytes to anonymous shared memory, which can be sent to a process that is being started."""
    memory = _SPAWN.RawArray("B", array.nbytes)
    np.frombuffer(memory, array.dtype)[...] = array.ravel()
    return memory


@contextmanager
def _worker(settings: dict[str, Any], *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    """Start a process that runs `_serve`; give it and this process's end of its pipe. Raises DataError."""
    ours, theirs = _SPAWN.Pipe()
    arguments = (theirs, settings, *arguments)
    process = _SPAWN.Process(target=_serve, args=arguments, name="minisk-worker", daemon=True)
    with ours:
        try:
            with theirs, _without_interrupts():
                process.start()
        except (PicklingError, AttributeError, TypeError) as error:  # pickle's ways to say no
            raise DataError(f"Loader: augment {settings['augment']!r} can't be sent to a process: {error}") from error
        try:
            yield process, ours
        finally:
            process.kill()  # it owns nothing that would need a farewell
            process.join()


def _receive(process: Any, connection: Connection, number: int) -> Batch:
    """Wait for a worker's next batch. Raises DataError instead if it failed or died."""
    try:
        answer: Batch | str = connection.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise DataError(
            f"Loader: a worker process died (exit code {process.exitcode}) before batch {number} was made; "
            'a script that starts workers needs `if __name__ == "__main__":`'
        ) from error
    if isinstance(answer, str):
        raise DataError(f"Loader: batch {number} failed in a worker process: {answer}")
    return answer


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have a process started that Ctrl-C and SIGTERM, which may go to all, do not reach: this process ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # which process.start() would do, and unblock the signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, settings: dict[str, Any], shared: Any, epoch: int, numbers: range) -> None:
    """Make these batches, and send each, or what went wrong, until there is nobody to send it to."""
    images, labels, shape, classes = shared
    pixels = np.frombuffer(images, np.uint8).reshape(shape)
    dataset = ImageDataset(pixels, np.frombuffer(labels, np.int64), classes, "the worker's data set")
    make = Loader(**{**settings, "dataset": dataset}).maker(epoch)
    with suppress(OSError):  # the other end is gone: so is the need for batches
        for number in numbers:
            try:
                answer: Batch | str = make(number)
            except BaseException as error:  # even SystemExit belongs to the consumer, who waits for an answer
                answer = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            connection.send(answer)
