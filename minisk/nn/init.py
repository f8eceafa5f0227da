"""Initial weights, written in place with minisk's seeded generator (`ms.manual_seed`).

Values are drawn on the CPU in float64, whatever the Tensor's device and dtype: one seed gives one network.
"""

import math

from ..autograd import Tensor
from ..autograd.grad_mode import Mode, State
from ..backend import Array, random_generator, to_device

_drawing = State(True)


def skipped() -> Mode:
    """Return a block in which layers get no initial weights: the weights are 0.

    For a network that is only counted: drawing 60 million weights takes longer than counting them.
    """
    return Mode(_drawing, False)


def constant_(tensor: Tensor, value: float | Array) -> Tensor:
    """Fill the Tensor with one value (or with an array that broadcasts to its shape), and return it."""
    tensor.data[...] = value
    tensor.mark_written()
    return tensor


def normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill the Tensor with values of N(0, std²), and return it; inside `skipped`, return it as it is."""
    if not _drawing.enabled:
        return tensor
    values = random_generator("cpu").standard_normal(tensor.shape) * std
    return constant_(tensor, to_device(values.astype(tensor.dtype), tensor.device))


def kaiming_normal_(tensor: Tensor) -> Tensor:
    """Fill the Tensor with values of N(0, 2 / fan_in), and return it.

    fan_in is the number of inputs of one output: the product of all sizes but the first. Caffe calls it "msra".
    Source: He et al., *Delving Deep into Rectifiers*, 2015.
    """
    return normal_(tensor, math.sqrt(2.0 / max(1, math.prod(tensor.shape[1:]))))
