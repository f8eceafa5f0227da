"""2-D convolution (cross-correlation, as in all deep-learning libraries) and its two gradients.

out = x ⋆ w + b    conv2d         linear in x and in w, so each gradient is one of these three operations again:
dx  = dout ⋆ᵀ w    input_grad         conv2d:      dx = input_grad(dout, w)     dw = weight_grad(x, dout)
dw  = x ⋆ dout     weight_grad        input_grad:  ddout = conv2d(ddx, w)       dw = weight_grad(ddx, dout)
db  = Σ_nij dout                      weight_grad: dx = input_grad(dout, ddw)   ddout = conv2d(x, ddw)

conv2d_affine is followed by a scale and a bias, as of a batch norm in evaluation, and by ReLU.
"""

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..backend import Array
from ..errors import ShapeError
from ..kernels import ConvGeometry
from .activation import ReluGrad
from .dtypes import floating_operands
from .reduction import sum
from .shape import Size, pair


class Conv2d(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, weight: Array, bias: Array | None, *, geometry: ConvGeometry) -> Array:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return kernels.conv2d(x, weight, geometry, bias)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_dx, needs_dweight, needs_dbias = ctx.needs_input_grad
        dx = Conv2dInputGrad.apply(dout, weight, geometry=ctx.geometry, shape=x.shape) if needs_dx else None
        dweight = Conv2dWeightGrad.apply(x, dout, geometry=ctx.geometry, shape=weight.shape) if needs_dweight else None
        return dx, dweight, sum(dout, axis=(0, 2, 3)) if needs_dbias else None


class Conv2dAffine(Function):
    """out = scale · conv2d(x, w) + bias per channel; with relu, 0 where that is negative.

    With dconv = scale · dout: dx = input_grad(dconv, w)   dw = weight_grad(x, dconv)   dscale = Σ dout · conv2d(x, w)
    """

    @staticmethod
    def forward(
        ctx: Context, x: Array, weight: Array, scale: Array, bias: Array, *, relu: bool, geometry: ConvGeometry
    ) -> Array:
        out = kernels.conv2d_affine(x, weight, scale, bias, relu, geometry)
        ctx.save_for_backward(x, weight, scale, *[out] * relu)
        ctx.geometry = geometry
        return out

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, weight, scale, *out = ctx.saved_tensors
        dout = ReluGrad.apply(dout, out[0]) if out else dout
        dconv, convolved = dout * scale.reshape(-1, 1, 1), Conv2d.apply(x, weight, None, geometry=ctx.geometry)
        dx = Conv2dInputGrad.apply(dconv, weight, geometry=ctx.geometry, shape=x.shape)
        dweight = Conv2dWeightGrad.apply(x, dconv, geometry=ctx.geometry, shape=weight.shape)
        return dx, dweight, sum(dout * convolved, axis=(0, 2, 3)), sum(dout, axis=(0, 2, 3))


class Conv2dInputGrad(Function):
    @staticmethod
    def forward(ctx: Context, dout: Array, weight: Array, *, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
        ctx.save_for_backward(dout, weight)
        ctx.geometry = geometry
        return kernels.conv2d_input_grad(dout, weight, geometry, shape)

    @staticmethod
    def backward(ctx: Context, ddx: Tensor) -> tuple[Tensor, Tensor]:
        dout, weight = ctx.saved_tensors
        ddout = Conv2d.apply(ddx, weight, None, geometry=ctx.geometry)
        return ddout, Conv2dWeightGrad.apply(ddx, dout, geometry=ctx.geometry, shape=weight.shape)


class Conv2dWeightGrad(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, dout: Array, *, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
        ctx.save_for_backward(x, dout)
        ctx.geometry = geometry
        return kernels.conv2d_weight_grad(x, dout, geometry, shape)

    @staticmethod
    def backward(ctx: Context, ddweight: Tensor) -> tuple[Tensor, Tensor]:
        x, dout = ctx.saved_tensors
        ddout = Conv2d.apply(x, ddweight, None, geometry=ctx.geometry)
        return Conv2dInputGrad.apply(dout, ddweight, geometry=ctx.geometry, shape=x.shape), ddout


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of images with a set of filters.

    Args:
        x: (N, C, H, W), floating.
        weight: (O, C / groups, kh, kw), of the same dtype.
        bias: (O,), or None.
        stride, padding, dilation: one number, or (height, width); padding adds zeros on each side.
        groups: how many groups C and O are divided into; outputs of a group depend only on inputs of that group.

    Returns:
        (N, O, Ho, Wo) with Ho = (H + 2·padding - dilation·(kh - 1) - 1) // stride + 1, and Wo likewise.

    Raises:
        ShapeError, DtypeError.
    """
    x, weight, bias = floating_operands("conv2d", x=x, weight=weight, bias=bias)
    geometry = _geometry("conv2d", stride, padding, dilation, groups)
    _check("conv2d", x, weight, geometry, bias=bias)
    out: Tensor = Conv2d.apply(x, weight, bias, geometry=geometry)
    return out


def conv2d_affine(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    relu: bool = False,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return scale · conv2d(x, weight) + bias for each output channel, in one kernel.

    Args:
        x, weight, stride, padding, dilation, groups: as of conv2d.
        scale, bias: (O,), of the same dtype.
        relu: return 0 where that is negative.

    Returns:
        (N, O, Ho, Wo), as conv2d.

    Raises:
        ShapeError, DtypeError.
    """
    x, weight, scale, bias = floating_operands("conv2d_affine", x=x, weight=weight, scale=scale, bias=bias)
    geometry = _geometry("conv2d_affine", stride, padding, dilation, groups)
    _check("conv2d_affine", x, weight, geometry, scale=scale, bias=bias)
    out: Tensor = Conv2dAffine.apply(x, weight, scale, bias, relu=relu, geometry=geometry)
    return out


def _geometry(operation: str, stride: Size, padding: Size, dilation: Size, groups: int) -> ConvGeometry:
    return ConvGeometry(
        stride=pair(operation, "stride", stride, least=1),
        padding=pair(operation, "padding", padding, least=0),
        dilation=pair(operation, "dilation", dilation, least=1),
        groups=groups,
    )


def _check(operation: str, x: Tensor, weight: Tensor, geometry: ConvGeometry, **per_output: Tensor | None) -> None:
    """Raise ShapeError unless the shapes fit each other and the geometry. per_output: (O,) each, or None."""
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"{operation}: x {x.shape} and weight {weight.shape} must have 4 axes each")
    outputs, per_group = weight.shape[:2]
    groups = geometry.groups
    if groups < 1 or outputs % groups:
        raise ShapeError(f"{operation}: {outputs} outputs of weight {weight.shape} do not divide into groups={groups}")
    if x.shape[1] != per_group * groups:
        expected = f"weight {weight.shape} with groups={groups} expects {per_group * groups}"
        raise ShapeError(f"{operation}: x has {x.shape[1]} channels, but {expected}")
    if 0 in weight.shape or 0 in x.shape[1:]:  # an empty batch is a batch
        raise ShapeError(f"{operation}: the images of x {x.shape} and weight {weight.shape} must not be empty")
    for name, values in per_output.items():
        if values is not None and values.shape != weight.shape[:1]:
            expected = f"one value per output of weight {weight.shape}"
            raise ShapeError(f"{operation}: {name} {values.shape} must hold {expected}")
    if min(geometry.output_size(x.shape[2:], weight.shape[2:])) < 1:
        kernel = f"kernel {weight.shape[2:]} with dilation {geometry.dilation}"
        available = f"the input {x.shape[2:]} with padding {geometry.padding}"
        raise ShapeError(f"{operation}: {kernel} is larger than {available}")
