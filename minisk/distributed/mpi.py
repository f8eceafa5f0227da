"""MpiGroup: all processes that mpirun or srun started, over MPI (mpi4py).

MPI.Finalize waits for every rank, so mpi4py's own call at exit would turn a Python error in one rank into a hang. It is
switched off, and `close` calls it. A process that ends without it, in whatever way, makes mpirun end the others.

A transfer is started and then tested, never waited for inside MPI: a waiting rank sleeps instead of holding a core, and
can report a rank that does not come.
"""

import logging
import os
import socket
import time
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_device
from ..errors import MiniskError
from .group import Group, Steps

log = logging.getLogger("minisk")

_SPIN = 0.0005  # seconds of testing without a pause: the exchanges of batch norm take some microseconds
_LONGEST_PAUSE = 0.001
_TAGS = 16000  # MPI promises tags up to 32767
_ANSWERS = 0.1  # of the patience: how long the other waiting ranks have to say that they wait too


class MpiGroup(Group):
    """The processes of MPI.COMM_WORLD.

    Args:
        patience: seconds after which a rank that keeps the others waiting is named in a log line, again and again.

    Raises:
        MiniskError: mpi4py or an MPI library is missing.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._mpi: Any = _import_mpi()
        world = self._mpi.COMM_WORLD
        self.rank, self.size = world.rank, world.size
        self.patience = patience
        name, version = self._mpi.get_vendor()
        self.library = f"{name} {'.'.join(map(str, version))}"
        self._world, self._sums_comm, self._notes = world, world.Dup(), world.Dup()
        self._sums = 0  # started so far; the same on all ranks
        self._count = 0  # of exchanges waited for so far; the same on all ranks
        self._waiting: set[tuple[int, int]] = set()  # (rank, its count) of ranks that said they wait
        self._sent: list[Any] = []
        self.local_rank = world.Split_type(self._mpi.COMM_TYPE_SHARED).rank
        where = f"process {os.getpid()} on {socket.gethostname()}"
        self._where = world.allgather(where)

    def gather(self, array: Array) -> Array:
        host = np.ascontiguousarray(to_device(array, "cpu"))
        every = np.empty((self.size, *array.shape), array.dtype)
        self.finish(self._tested(self._world.Iallgather(_raw(host), _raw(every))))
        return array_module(array).asarray(every)

    def sum(self, flat: Array) -> None:
        self.finish(self.start_sum(flat))

    def start_sum(self, flat: Array) -> Steps:
        # Rank r sums part r of the array, in the order of the ranks, and sends the sum to all. Each sum has tags of its
        # own: collective calls would have to start in one order on all ranks, but sums under way overtake each other.
        host = to_device(flat, "cpu")
        tag = 2 * (self._sums % _TAGS)
        self._sums += 1
        parts = np.array_split(host, self.size)
        received = [np.empty_like(parts[self.rank]) for _ in parts]
        yield from self._swapped(received, parts, tag)
        total = received[0]
        for other in received[1:]:
            total += other
        yield from self._swapped(parts, [total] * self.size, tag + 1)
        if host is not flat:
            flat[...] = array_module(flat).asarray(host)

    def broadcast(self, array: Array) -> None:
        host = np.asarray(to_device(array, "cpu"), order="C")
        self.finish(self._tested(self._world.Ibcast(_raw(host), 0)))
        if host is not array:
            array[...] = array_module(array).asarray(host)

    def finish(self, steps: Steps) -> None:
        self._count += 1
        started, pause, reported, is_announced = time.monotonic(), 1e-5, 0.0, False
        for _ in steps:
            waited = time.monotonic() - started
            if waited < _SPIN:
                continue
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if waited - reported > self.patience:
                if not is_announced:
                    is_announced = True
                    self._announce()
                self._collect()
                if waited - reported > (1 + _ANSWERS) * self.patience:
                    self._report_missing(waited)
                    reported = waited

    def close(self) -> None:
        self._mpi.Finalize()

    def _swapped(self, received: list[Array], sent: list[Array], tag: int) -> Steps:
        """Yield until this rank has sent sent[r] to each rank r, and has received[r] from it."""
        received[self.rank][...] = sent[self.rank]
        requests = []
        for distance in range(1, self.size):  # not all ranks begin with rank 0
            source, target = (self.rank - distance) % self.size, (self.rank + distance) % self.size
            requests.append(self._sums_comm.Irecv(received[source], source, tag))
            requests.append(self._sums_comm.Isend(sent[target], target, tag))
        while not self._mpi.Request.Testall(requests):
            yield

    def _tested(self, request: Any) -> Steps:
        """Yield until the request is done."""
        while not request.Test():
            yield

    # A rank that waits says so to the others; those that have not said it, stand still or are busy.

    def _announce(self) -> None:
        note = np.array([self._count], np.int64)
        others = [rank for rank in range(self.size) if rank != self.rank]
        self._sent += [(self._notes.Isend(note, other), note) for other in others]

    def _collect(self) -> None:
        status = self._mpi.Status()
        while self._notes.Iprobe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status):
            note = np.empty(1, np.int64)
            self._notes.Recv(note, status.Get_source())
            self._waiting.add((status.Get_source(), int(note[0])))

    def _report_missing(self, waited: float) -> None:
        waiting = {rank for rank, count in self._waiting if count == self._count} | {self.rank}
        missing = sorted({*range(self.size)} - waiting)
        if self.rank == min(waiting):
            names = "; ".join(f"rank {rank} ({self._where[rank]})" for rank in missing) or "the network"
            log.warning("waiting for %.0f s, because of %s: stopped, or busy with something else", waited, names)


def _import_mpi() -> Any:
    """Import MPI, here and not at the top: it starts MPI, which worker processes of the loader must not do."""
    try:
        import mpi4py

        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except ImportError as error:
        raise MiniskError('several processes need mpi4py: pip install "minisk[mpi]"') from error
    except RuntimeError as error:
        raise MiniskError(f"several processes need an MPI library, such as pip install mpich: {error}") from error
    return MPI


def _raw(array: Array) -> Array:
    """Return the array's memory as bytes: MPI need not know the dtype."""
    return array.reshape(-1).view(np.uint8)
