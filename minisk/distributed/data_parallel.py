"""Data parallelism: every rank holds the same network and computes its share of a batch; the gradients are summed.

The loss of a share is weighted by its part of the batch, so the sum over the ranks is the gradient of the whole batch.
After each step all state is the same on all ranks, bit for bit; so rank 0's checkpoint is the run's.

Gradients travel in buckets, in the reverse order of the parameters, in which backward computes them. A bucket is sent
as soon as its last gradient is complete, while backward goes on. The buckets and their order are the same on all ranks
whatever arrives: a gradient that a rank lacks counts as zero, and a flag says so. Sources: Li et al., *PyTorch
Distributed*, VLDB 2020, for buckets during backward; Horovod for the missing gradients.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from ..autograd import Tensor
from ..backend import Array, array_module, device_of, to_device
from ..nn import Module
from .group import Group, Steps
from .sync_batch_norm import synchronize_batch_norms

BUCKET_BYTES = 4 << 20


class DataParallel:
    """Keeps a model equal on all ranks of a group, beginning with rank 0's.

    Args:
        model: on its device, with rank 0's device type on every rank.
        group: the ranks.
        sync_bn: normalise by the statistics of all ranks' images. Otherwise each rank uses its own images', and the
            running statistics are averaged at each step.
        bucket_bytes: size from which a bucket is sent.

    Attributes:
        waited: seconds that `exchange` has waited for sums that were not complete when backward ended.
    """

    def __init__(self, model: Module, group: Group, sync_bn: bool = True, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.group, self.waited = group, 0.0
        self._buckets: list[Bucket] = []
        self._averaged: list[Tensor] = []
        self._under_way: list[Steps] = []
        self._is_sending = False
        self._sent = 0  # buckets of this step
        if group.size == 1:
            return
        for tensor in (*model.parameters(), *model.buffers()):
            group.broadcast(tensor.data)
            tensor.mark_written()
        if sync_bn:
            synchronize_batch_norms(model, group)
        else:
            self._averaged = list(model.buffers())
        parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        for run in _runs(parameters[::-1], bucket_bytes):
            bucket = Bucket(run)
            self._buckets.append(bucket)
            for position, parameter in enumerate(run):
                parameter.register_hook(partial(self._arrived, bucket, position))

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send gradients as they become complete, in a block that runs the last backward of a step."""
        self._is_sending = True
        try:
            yield
        finally:
            self._is_sending = False

    def exchange(self, numbers: Array) -> Array:
        """Sum all gradients over the ranks, in place, and return the sum of the numbers, float64 (n,).

        A parameter without a gradient on any rank keeps None.
        """
        if self.group.size == 1:
            return numbers
        for bucket in self._buckets[self._sent :]:
            bucket.fill_rest()
            self._start(bucket.flat)
        statistics = [buffer.data.astype(np.float64).reshape(-1) / self.group.size for buffer in self._averaged]
        tail = np.concatenate([numbers, *(to_device(values, "cpu") for values in statistics)])
        self._start(tail)
        before = time.perf_counter()
        for steps in self._under_way:
            self.group.finish(steps)
        self.waited += time.perf_counter() - before
        self._under_way, self._sent = [], 0
        for bucket in self._buckets:
            bucket.unpack()
        _unpack(tail[len(numbers) :], self._averaged)
        return tail[: len(numbers)]

    def _start(self, flat: Array) -> None:
        steps = self.group.start_sum(flat)
        next(steps, None)
        self._under_way.append(steps)

    def _arrived(self, bucket: "Bucket", position: int, gradient: Tensor) -> None:
        """Note a complete gradient of the last backward; send each bucket that is full, in order."""
        if not self._is_sending:
            return
        bucket.fill(position, gradient)
        while self._sent < len(self._buckets) and self._buckets[self._sent].is_full:
            self._start(self._buckets[self._sent].flat)
            self._sent += 1
        for steps in self._under_way:  # MPI works only while it is called
            next(steps, None)


class Bucket:
    """Gradients of some parameters in one array, and behind them a flag for each: 1 if this rank has the gradient.

    flat: (n,), float32, or float64 for float64 parameters.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.size = sum(parameter.size for parameter in parameters)
        dtype = np.result_type(np.float32, *[parameter.dtype for parameter in parameters])
        xp = array_module(parameters[0].data)
        self.flat = xp.zeros(self.size + len(parameters), dtype)
        ends = np.cumsum([parameter.size for parameter in parameters])
        self._parts = [slice(end - p.size, end) for end, p in zip(ends.tolist(), parameters, strict=True)]
        self._filled: set[int] = set()

    @property
    def is_full(self) -> bool:
        return len(self._filled) == len(self.parameters)

    def fill(self, position: int, gradient: Tensor | None) -> None:
        """Store a gradient of the running backward, with what earlier parts of the batch left in `.grad`."""
        before, part = self.parameters[position].grad, self.flat[self._parts[position]]
        given = [each.data.reshape(-1) for each in (before, gradient) if each is not None]
        part[...] = given[0] if given else 0
        for other in given[1:]:
            part += other
        self.flat[self.size + position] = bool(given)
        self._filled.add(position)

    def fill_rest(self) -> None:
        """Store what `.grad` holds of the gradients that did not arrive."""
        for position in range(len(self.parameters)):
            if position not in self._filled:
                self.fill(position, None)

    def unpack(self) -> None:
        """Write the sums to `.grad`; a rank that lacks a gradient that others have gets a new one."""
        self._filled.clear()
        counts = self.flat[self.size :].tolist()
        for parameter, part, count in zip(self.parameters, self._parts, counts, strict=True):
            if count:
                if parameter.grad is None:
                    parameter.grad = Tensor(array_module(parameter.data).empty_like(parameter.data))
                parameter.grad.data[...] = self.flat[part].reshape(parameter.shape)
                parameter.grad.mark_written()


def _unpack(flat: Array, tensors: list[Tensor]) -> None:
    start = 0
    for tensor in tensors:
        values = to_device(flat[start : start + tensor.size], device_of(tensor.data))
        tensor.data[...] = values.reshape(tensor.shape)
        tensor.mark_written()
        start += tensor.size


def _runs(parameters: list[Tensor], least_bytes: int) -> Iterator[list[Tensor]]:
    """Cut a list of parameters into runs of at least so many bytes each; the last may be smaller."""
    run: list[Tensor] = []
    for parameter in parameters:
        run.append(parameter)
        if sum(each.data.nbytes for each in run) >= least_bytes:
            yield run
            run = []
    if run:
        yield run
