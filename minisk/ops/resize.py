"""Resize: bilinear interpolation of images to any height and width, with aligned corners.

    Output (i, j) lies at (i·(H - 1)/(Ho - 1), j·(W - 1)/(Wo - 1)) of x, so that the corners of both images coincide;
    it is the mean of the four elements around it, weighted by their nearness.

    dx = the adjoint: each element of dout goes to those four elements, with the same weights

Both are linear, so the adjoint's gradient is the resize itself.
Source: the Interp layer of the residual attention networks' Caffe fork (github.com/buptwangfei/caffe).
"""

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..backend import Array
from ..errors import ShapeError
from .dtypes import floating_operands
from .shape import Size, pair


class Resize(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, size: tuple[int, int]) -> Array:
        ctx.shape = x.shape
        return kernels.bilinear(x, size)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return ResizeAdjoint.apply(dout, size=ctx.shape[2:])


class ResizeAdjoint(Function):
    @staticmethod
    def forward(ctx: Context, dout: Array, *, size: tuple[int, int]) -> Array:
        ctx.shape = dout.shape
        return kernels.bilinear_adjoint(dout, size)

    @staticmethod
    def backward(ctx: Context, ddx: Tensor) -> Tensor:
        return Resize.apply(ddx, size=ctx.shape[2:])


def interpolate(x: Tensor, size: Size) -> Tensor:
    """Return images resized by bilinear interpolation with aligned corners.

    PyTorch's `interpolate(x, size, mode="bilinear", align_corners=True)`. An output that lies on a row or column of x
    reads no other; equal sizes copy.

    Args:
        x: (N, C, H, W), floating.
        size: one number, or (height, width), each at least 1.

    Returns:
        (N, C, height, width).

    Raises:
        ShapeError, DtypeError.
    """
    (x,) = floating_operands("interpolate", x=x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"interpolate: x {x.shape} must be (N, C, H, W) with H, W of at least 1")
    return Resize.apply(x, size=pair("interpolate", "size", size, least=1))
