"""Initial weights, written in place from minisk's seeded generator (`ms.manual_seed`)."""

import math

from ..autograd.tensor import Tensor
from ..backend import random_generator, to_device


def normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill with N(0, std²). Returns the tensor."""
    # Drawn on the CPU in float64 whatever the device and dtype: one seed, one network.
    values = random_generator("cpu").standard_normal(tensor.shape) * std
    tensor.data[...] = to_device(values.astype(tensor.dtype), tensor.device)
    tensor.mark_written()
    return tensor


def kaiming_normal_(tensor: Tensor) -> Tensor:
    """Fill with N(0, 2 / fan_in), fan_in = inputs of one output; Caffe's "msra". Returns the tensor.

    Source: He et al., *Delving Deep into Rectifiers*, 2015.
    """
    return normal_(tensor, math.sqrt(2.0 / math.prod(tensor.shape[1:])))


def constant_(tensor: Tensor, value: float) -> Tensor:
    """Fill with one value. Returns the tensor."""
    tensor.data[...] = value
    tensor.mark_written()
    return tensor
