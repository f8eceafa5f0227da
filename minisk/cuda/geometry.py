"""Plain records that launchers, the dispatch and the reference formulas share."""

from typing import NamedTuple

import numpy as np

from ..backend import Array, array_module

Pair = tuple[int, int]  # (height, width)


class ConvGeometry(NamedTuple):
    """How a convolution's kernel moves over the image."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def output_size(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Return height and width of the output; a number below 1 means that the kernel does not fit."""
        free = [size[a] + 2 * self.padding[a] - self.dilation[a] * (kernel[a] - 1) - 1 for a in range(2)]
        return free[0] // self.stride[0] + 1, free[1] // self.stride[1] + 1

    def skips_pixels(self, kernel: tuple[int, ...]) -> bool:
        """Whether a kernel (kh, kw) sees single pixels, a stride apart, and no others: 1×1 without padding."""
        return kernel == (1, 1) and self.padding == (0, 0) and self.stride != (1, 1)

    def dense(self) -> "ConvGeometry":
        """Return the geometry of a kernel that moves over neighbouring pixels."""
        return self._replace(stride=(1, 1))

    def every_stride(self, x: Array) -> Array:
        """Return the pixels a stride apart, from the first one on, as a view of x, (N, C, H, W)."""
        return x[:, :, :: self.stride[0], :: self.stride[1]]


class Finish(NamedTuple):
    """What becomes of each channel's sums before they are written: times scale, plus bias, and 0 where negative.

    scale, bias: (channels,), or None to leave the step out; relu: whether negative numbers become 0.
    """

    scale: Array | None = None
    bias: Array | None = None
    relu: bool = False


class PoolWindow(NamedTuple):
    """How a window moves over images of shape (N, C, H, W); `out` is the number of windows, (Ho, Wo).

    count_padding: whether the mean of a window divides by all its places, or by those inside the image.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair
    dilation: Pair = (1, 1)
    count_padding: bool = True


class BatchStatistics(NamedTuple):
    """Mean and biased variance of each channel, (C,) each; float32 for a float16 input.

    The mean is center + rest. One float32 number is not enough: for the data 1e4 ± 1, the mean's rounding error would
    be a thousandth of the deviation.
    """

    center: Array
    rest: Array
    var: Array

    @property
    def mean(self) -> Array:
        return self.center + self.rest

    def in_float64(self) -> Array:
        """Return mean and biased variance, float64 (2, C)."""
        xp = array_module(self.center)
        center, rest, var = (part.astype(np.float64) for part in self)
        return xp.stack([center + rest, var])

    @classmethod
    def fixed(cls, mean: Array, var: Array, like: Array) -> "BatchStatistics":
        """Return BatchStatistics of copies of a given mean and variance, for normalising an array like `like`."""
        wide = np.promote_types(like.dtype, np.float32)
        center = mean.astype(wide)
        return cls(center, array_module(mean).zeros_like(center), var.astype(wide))
