"""A model of a data-parallel step: how its time grows with the number of ranks, from numbers measured on one machine.

With N ranks of n images each, S bytes of gradients, bandwidth β (bytes/s of a rank) and latency α (s of a message):

    compute      n / images per second, of which backward is 2/3; a layer's backward takes its share of multiply-adds
    a bucket     2 (N - 1) α + 2 (N - 1) / N · bytes / β: parts are sent to all ranks, and their sums back, as in a ring
    exposed      what is left of the buckets when backward ends; a bucket starts when its last layer is done
    batch norm   2 exchanges a layer with synchronised statistics: log2(N) α + (N - 1) · 8 · (3 + 2) · channels / β

All ranks are alike and all links are; reading images, waiting for slow ranks and the optimizer are not in the model.
Source: the α-β model, Thakur et al., *Optimization of Collective Communication Operations in MPICH*, 2005.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

_BYTES = 4  # of a gradient
_BACKWARD = 2 / 3  # of the time of forward and backward: each convolution has two gradients
_NUMBERS = 3 + 2  # of a channel that synchronised batch norm exchanges, float64


class Layer(NamedTuple):
    """A layer in the order of execution: multiply-adds of an image, parameters, channels of a batch norm (else 0)."""

    macs: int
    parameters: int
    channels: int


class Machine(NamedTuple):
    """What was measured: images per second of one rank alone, bytes per second and seconds per message of a link."""

    images_per_second: float
    bandwidth: float
    latency: float


class StepTime(NamedTuple):
    """The parts of a step's time, in seconds, and the number of ranks and of images of a rank.

    sums: all gradient sums; exposed: the part of them that backward does not hide.
    """

    ranks: int
    images: int
    compute: float
    sums: float
    exposed: float
    batch_norm: float

    @property
    def seconds(self) -> float:
        """The time of the whole step."""
        return self.compute + self.exposed + self.batch_norm

    @property
    def images_per_second(self) -> float:
        """The images that all ranks train on in a second."""
        return self.ranks * self.images / self.seconds

    @property
    def efficiency(self) -> float:
        """The time of a step without exchanges as a share of the step's."""
        return self.compute / self.seconds


def predict_step(
    layers: Sequence[Layer], images: int, ranks: int, machine: Machine, bucket_bytes: float, sync_bn: bool
) -> StepTime:
    """Return the predicted time of a step.

    Args:
        layers: of the network, in the order of execution.
        images: of one rank in a step.
        ranks: number of processes, at least 1.
        machine: what was measured.
        bucket_bytes: size from which a bucket of gradients is sent.
        sync_bn: whether batch norm is synchronised.
    """
    compute = images / machine.images_per_second
    backward, all_macs = _BACKWARD * compute, max(1, sum(layer.macs for layer in layers))
    now, sent, sums, filled = 0.0, 0.0, 0.0, 0
    for position, layer in enumerate(reversed(layers)):
        now += backward * layer.macs / all_macs
        filled += _BYTES * layer.parameters
        if filled >= bucket_bytes or (filled and position == len(layers) - 1):
            seconds = _sum_seconds(filled, ranks, machine)
            sent, sums, filled = max(now, sent) + seconds, sums + seconds, 0
    batch_norm = 0.0
    if sync_bn and ranks > 1:
        for layer in layers:
            content = (ranks - 1) * 8 * _NUMBERS * layer.channels / machine.bandwidth
            batch_norm += (2 * math.log2(ranks) * machine.latency + content) if layer.channels else 0
    return StepTime(ranks, images, compute, sums, max(0.0, sent - backward), batch_norm)


def _sum_seconds(size: int, ranks: int, machine: Machine) -> float:
    if ranks == 1:
        return 0.0
    return 2 * (ranks - 1) * (machine.latency + size / ranks / machine.bandwidth)
