"""A Group of threads in this process: what MPI does between processes, without MPI."""

import threading
import time

import numpy as np

from minisk.backend import seeded
from minisk.distributed import EndedByPeer, Group

PATIENCE = 120  # seconds after which a test of several ranks counts as hanging


class Board:
    """What the ranks have posted: for each serial number of an exchange, an array of each rank."""

    def __init__(self, size):
        self.size, self.posted, self.lock, self.is_broken = size, {}, threading.Lock(), False

    def post(self, key, rank, array):
        with self.lock:
            self.posted.setdefault(key, {})[rank] = np.array(array)

    def all_of(self, key):
        """Return every rank's array, or None while one is missing. Raises RuntimeError if a rank has failed."""
        if self.is_broken:
            raise RuntimeError("another rank has failed")
        arrays = self.posted[key]
        return [arrays[rank] for rank in range(self.size)] if len(arrays) == self.size else None


class ThreadGroup(Group):
    library = "threads"

    def __init__(self, board, rank):
        self.board, self.rank, self.size, self.local_rank = board, rank, board.size, rank
        self.count = 0
        self.sums = []  # the size of each array that was summed

    def _posted(self, array):
        key, self.count = self.count, self.count + 1
        self.board.post(key, self.rank, array)
        return key

    def _wait(self, key):
        before = time.monotonic()
        while (every := self.board.all_of(key)) is None:
            time.sleep(1e-4)
            assert time.monotonic() - before < PATIENCE, "a rank does not come"
        return every

    def gather(self, array):
        return np.stack(self._wait(self._posted(array)))

    def broadcast(self, array):
        array[...] = self._wait(self._posted(array))[0]

    def start_sum(self, flat):
        key = self._posted(flat)
        self.sums.append(flat.size)
        while (every := self.board.all_of(key)) is None:
            yield
        total = every[0].copy()
        for other in every[1:]:
            total += other
        flat[...] = total

    def sum(self, flat):
        self.finish(self.start_sum(flat))

    def finish(self, steps):
        for _ in steps:
            time.sleep(1e-4)


def on_ranks(size, work):
    """Run work(group) in a thread for each rank; return the results. Raises the first error of the lowest rank."""
    board, results, errors = Board(size), [None] * size, [None] * size

    def run(rank):
        try:
            with seeded(1000 + rank):  # each process has random numbers of its own
                results[rank] = work(ThreadGroup(board, rank))
        except BaseException as error:
            errors[rank] = error
            if isinstance(error, RuntimeError):
                return
            board.is_broken = not isinstance(error, EndedByPeer)

    threads = [threading.Thread(target=run, args=(rank,), name=f"rank {rank}") for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [error for error in errors if error is not None and "another rank has failed" not in str(error)]
    if own:
        raise next((error for error in own if not isinstance(error, EndedByPeer)), own[0])
    return results
