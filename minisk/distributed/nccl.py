"""NcclGroup: arrays on GPUs travel by NCCL (`cupy.cuda.nccl`), everything else by the group that joined the processes.

NCCL chooses the order of a sum itself. All ranks get the same bits, and so does each run on the same machines with
NCCL_ALGO=Ring, NCCL_PROTO=Simple and NCCL_NVLS_ENABLE=0. Its sums run on a stream of their own, beside backward.
"""

import logging
from typing import Any

import numpy as np

from ..backend import Array, array_module, device_of
from ..errors import MiniskError
from .group import Group, Steps

log = logging.getLogger("minisk")


class NcclGroup(Group):
    """The ranks of another group, one GPU each.

    Args:
        host: the group that joined the processes. It exchanges arrays on the CPU and reports a rank that is missing.

    Raises:
        MiniskError: on every rank, if one of them lacks NCCL.
    """

    def __init__(self, host: Group) -> None:
        self.host = host
        self.rank, self.size, self.local_rank = host.rank, host.size, host.local_rank
        import cupy

        nccl = cupy.cuda.nccl
        if not host.gather(np.array([bool(nccl.available)])).all():
            raise MiniskError("a rank has no NCCL: pip install nvidia-nccl-cu12, or -cu13")
        self._cuda, self._nccl = cupy.cuda, nccl
        self._types = {np.dtype(np.float32): nccl.NCCL_FLOAT32, np.dtype(np.float64): nccl.NCCL_FLOAT64}
        # The id that names this group has 128 bytes; rank 0 makes it.
        identity = np.frombuffer(nccl.get_unique_id(), np.uint8).copy() if self.rank == 0 else np.empty(128, np.uint8)
        host.broadcast(identity)
        self._communicator = nccl.NcclCommunicator(self.size, identity.tobytes(), self.rank)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self.library = f"{host.library} and NCCL {nccl.get_version()}"

    def gather(self, array: Array) -> Array:
        if device_of(array) == "cpu":
            return self.host.gather(array)
        xp = array_module(array)
        own = xp.ascontiguousarray(array)
        every = xp.empty((self.size, *array.shape), array.dtype)
        stream = self._cuda.get_current_stream().ptr
        self._communicator.allGather(_pointer(own), _pointer(every), own.nbytes, self._nccl.NCCL_UINT8, stream)
        return every

    def sum(self, flat: Array) -> None:
        self.finish(self.start_sum(flat))

    def start_sum(self, flat: Array) -> Steps:
        if device_of(flat) == "cpu":
            yield from self.host.start_sum(flat)
            return
        computing, pointer = self._cuda.get_current_stream(), _pointer(flat)
        self._stream.wait_event(computing.record())
        kind, add = self._types[flat.dtype], self._nccl.NCCL_SUM
        self._communicator.allReduce(pointer, pointer, flat.size, kind, add, self._stream.ptr)
        done: Any = self._stream.record()
        yield
        computing.wait_event(done)  # the GPU waits; this process goes on

    def broadcast(self, array: Array) -> None:
        if device_of(array) == "cpu":
            self.host.broadcast(array)
            return
        stream, pointer = self._cuda.get_current_stream().ptr, _pointer(array)
        self._communicator.bcast(pointer, array.nbytes, self._nccl.NCCL_UINT8, 0, stream)

    def finish(self, steps: Steps) -> None:
        self.host.finish(steps)

    def close(self) -> None:
        self._communicator.destroy()
        self.host.close()


def _pointer(array: Any) -> int:
    """Return the address of a CuPy array."""
    return int(array.data.ptr)


def for_device(group: Group, device: str) -> Group:
    """Return the group that exchanges arrays of a device: over NCCL on a GPU, if every rank has NCCL."""
    if group.size == 1 or not device.startswith("cuda"):
        return group
    try:
        return NcclGroup(group)
    except MiniskError as error:
        if group.rank == 0:
            log.warning("%s; gradients go through the memory of the CPU", error)
        return group
