"""Conv2d: the 2-D convolution layer."""

import math

import numpy as np

from .. import ops
from ..autograd import Tensor
from ..backend import DEFAULT_FLOAT
from ..errors import ShapeError, require_integers
from ..ops.shape import Size, pair
from . import init
from .module import Module, Parameter


class Conv2d(Module):
    """2-D convolution, (N, in_channels, H, W) → (N, out_channels, Ho, Wo).

    Args:
        in_channels, out_channels: channels of input and output; `groups` must divide both.
        kernel_size, stride, padding, dilation: one integer, or (height, width).
        groups: input and output channels are split into this many independent convolutions.
        bias: add one learned value per output channel.

    Attributes:
        weight: (out_channels, in_channels / groups, kh, kw), initialised He normal.
        bias: (out_channels,), initialised to zero; or None.

    Raises:
        ShapeError: groups does not divide the channels, or a size is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        require_integers("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"Conv2d: {in_channels} inputs, {out_channels} outputs must divide into groups={groups}")
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.padding = pair("Conv2d", "padding", padding, 0)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.groups = groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.zeros(shape, DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(out_channels, DEFAULT_FLOAT)) if bias else None
        init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def macs(self, output: Tensor) -> int:
        """Return the multiply-adds: each output element reads all weights of its channel once."""
        return output.size * math.prod(self.weight.shape[1:])
