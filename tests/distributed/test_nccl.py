"""NcclGroup calls CuPy's binding as the binding expects, on a stand-in whose GPU memory is this process's."""

import ctypes
import sys
import types

import numpy as np
import pytest
from thread_group import Board, on_ranks

from minisk.distributed import nccl as nccl_module
from minisk.distributed.nccl import NcclGroup, for_device

BOARDS = {}  # by the id of a communicator
SIZES = {7: np.float32, 8: np.float64, 1: np.uint8}  # ncclDataType_t


class GpuArray(np.ndarray):
    """An array whose `data.ptr` is its address, as CuPy's."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


def on_gpu(array):
    return np.array(array).view(GpuArray)


def memory(pointer, count, kind):
    dtype = np.dtype(SIZES[kind])
    content = (ctypes.c_char * (count * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(content, dtype)


class Communicator:
    """`cupy.cuda.nccl.NcclCommunicator` with CuPy's arguments; the ranks are threads."""

    def __init__(self, ndev, commId, rank):
        assert len(commId) == 128
        self.board, self.rank, self.size, self.count = BOARDS.setdefault(commId, Board(ndev)), rank, ndev, 0

    def _all(self, array):
        self.count += 1
        self.board.post(self.count, self.rank, array)
        while (every := self.board.all_of(self.count)) is None:
            pass
        return every

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        assert op == 0 and stream == "side"
        memory(recvbuf, count, datatype)[...] = sum(self._all(memory(sendbuf, count, datatype)))

    def allGather(self, sendbuf, recvbuf, count, datatype, stream):
        assert stream == "main"
        every = self._all(memory(sendbuf, count, datatype))
        memory(recvbuf, count * self.size, datatype)[...] = np.concatenate(every)

    def bcast(self, buff, count, datatype, root, stream):
        assert stream == "main"
        memory(buff, count, datatype)[...] = self._all(memory(buff, count, datatype))[root]

    def destroy(self):
        self.board = None


class Stream:
    def __init__(self, non_blocking=False):
        self.ptr = "side" if non_blocking else "main"
        self.waited = []

    def record(self):
        return f"event of {self.ptr}"

    def wait_event(self, event):
        self.waited.append(event)


@pytest.fixture
def cupy(monkeypatch):
    binding = types.SimpleNamespace(
        available=True,
        NCCL_FLOAT32=7,
        NCCL_FLOAT64=8,
        NCCL_UINT8=1,
        NCCL_SUM=0,
        get_version=lambda: 22700,
        get_unique_id=lambda: bytes(range(128)),
        NcclCommunicator=Communicator,
    )
    main = Stream()
    cuda = types.SimpleNamespace(nccl=binding, Stream=Stream, get_current_stream=lambda: main)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(nccl_module, "device_of", lambda array: "cuda:0" if isinstance(array, GpuArray) else "cpu")
    monkeypatch.setattr(nccl_module, "array_module", lambda array: Numbers)
    BOARDS.clear()
    return cuda


class Numbers:
    ascontiguousarray = staticmethod(lambda array: array)
    empty = staticmethod(lambda shape, dtype: np.empty(shape, dtype).view(GpuArray))


def test_gpu_arrays_are_summed_gathered_and_broadcast_by_nccl(cupy):
    def work(host):
        group = NcclGroup(host)
        flat, start = on_gpu(np.arange(5, dtype=np.float32) + host.rank), on_gpu([float(host.rank), 7.0])
        group.sum(flat)
        group.broadcast(start)
        every = group.gather(on_gpu(np.full((2, 3), host.rank, np.float64)))
        return flat.tolist(), start.tolist(), every[:, 0, 0].tolist(), host.sums

    assert on_ranks(3, work) == [([3.0, 6.0, 9.0, 12.0, 15.0], [0.0, 7.0], [0.0, 1.0, 2.0], [])] * 3


def test_a_sum_waits_for_the_gradients_and_the_next_kernels_for_the_sum(cupy):
    def work(host):
        group = NcclGroup(host)
        steps = group.start_sum(on_gpu(np.ones(2)))
        next(steps)
        before = list(cupy.get_current_stream().waited)
        group.finish(steps)
        return group._stream.waited, before, cupy.get_current_stream().waited

    assert on_ranks(1, work) == [(["event of main"], [], ["event of side"])]


def test_arrays_on_the_cpu_go_through_the_group_that_joined_the_processes(cupy):
    def work(host):
        numbers = np.array([host.rank + 1.0])
        NcclGroup(host).sum(numbers)
        return numbers.tolist(), host.sums

    assert on_ranks(2, work) == [([3.0], [1])] * 2


def test_without_nccl_on_one_rank_all_ranks_use_the_cpus_memory(cupy, caplog):
    cupy.nccl.available = False
    assert on_ranks(2, lambda host: for_device(host, "cuda:0") is host) == [True, True]
    assert caplog.text.count("a rank has no NCCL: pip install nvidia-nccl-cu12") == 1
