"""The select step of a selective-kernel unit, whole and in parts. Axpy: scale every channel of x and add y.

    out[n,c,h,w] = a[n,c] · x[n,c,h,w] + y[n,c,h,w]

    da[n,c] = Σ_hw dout · x        dx = a · dout        dy = dout

The two gradients are operations themselves, channel_dot and channel_scale, and each one's gradients are these again.
`select` is a softmax over branches and a chain of Axpys, in one pass.
Source: the Axpy layer of the SENet and SKNet Caffe forks.
"""

from collections.abc import Sequence

from .. import kernels
from ..autograd.function import Function, is_grad_enabled
from ..autograd.tensor import Tensor
from ..backend import Array
from ..errors import ShapeError
from .dtypes import require_floating
from .shape import stack


class Axpy(Function):
    def forward(ctx, a: Array, x: Array, y: Array) -> Array:
        ctx.save_for_backward(a, x)
        return kernels.axpy(a, x, y)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, x = ctx.saved_tensors
        return channel_dot(dout, x), channel_scale(a, dout), dout


class ChannelScale(Function):
    def forward(ctx, a: Array, x: Array) -> Array:
        ctx.save_for_backward(a, x)
        return kernels.channel_scale(a, x)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        a, x = ctx.saved_tensors
        return channel_dot(dout, x), channel_scale(a, dout)


class ChannelDot(Function):
    def forward(ctx, x: Array, y: Array) -> Array:
        ctx.save_for_backward(x, y)
        return kernels.channel_dot(x, y)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return channel_scale(dout, y), channel_scale(dout, x)


class Select(Function):
    def forward(ctx, logits: Array, *branches: Array) -> tuple[Array, Array]:
        out, weights = kernels.select(logits, *branches)
        ctx.save_for_backward(weights, *branches)
        return out, weights

    def backward(ctx, dout: Tensor, dweights: Tensor) -> tuple[Tensor, ...]:
        weights, *branches = ctx.saved_tensors
        if not is_grad_enabled():  # nobody will differentiate this: the fused kernel may run
            arrays = [tensor.data for tensor in (dout, dweights, weights, *branches)]
            return tuple(Tensor(gradient) for gradient in kernels.select_grad(*arrays))
        da = stack([channel_dot(dout, branch) for branch in branches], axis=1) + dweights
        dlogits = weights * (da - (weights * da).sum(1, keepdims=True))
        return dlogits, *(channel_scale(weights[:, m], dout) for m in range(len(branches)))


def select(logits: Tensor, branches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the branches' sum, weighted in each channel by a softmax over branches, and the weights, (N, M, C).

    logits: (N, M, C); branches: M ≥ 1 of (N, C, H, W); all of one dtype. Raises ShapeError, DtypeError.
    """
    require_floating("select", logits=logits, **{f"branch_{m}": branch for m, branch in enumerate(branches)})
    shapes = [branch.shape for branch in branches]
    fits = bool(shapes) and len(shapes[0]) == 4 and logits.shape == (shapes[0][0], len(shapes), shapes[0][1])
    if not fits or len(set(shapes)) > 1:
        raise ShapeError(f"select: logits {logits.shape} must be (N, M, C) for M branches (N, C, H, W), got {shapes}")
    return Select.apply(logits, *branches)


def axpy(a: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return ``a * x + y`` with one scale per image and channel.

    a: (N, C) or (N, C, 1, 1); x, y: (N, C, H, W) of one dtype. Raises ShapeError, DtypeError.
    """
    require_floating("axpy", a=a, x=x, y=y)
    _check_scale("axpy", a, x)
    if x.shape != y.shape:
        raise ShapeError(f"axpy: y {y.shape} must have the shape of x {x.shape}")
    return Axpy.apply(a.reshape(a.shape[:2]), x, y)


def channel_scale(a: Tensor, x: Tensor) -> Tensor:
    """Return ``a * x`` with one scale per image and channel.

    a: (N, C) or (N, C, 1, 1); x: (N, C, H, W) of one dtype. Raises ShapeError, DtypeError.
    """
    require_floating("channel_scale", a=a, x=x)
    _check_scale("channel_scale", a, x)
    return ChannelScale.apply(a.reshape(a.shape[:2]), x)


def channel_dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product of each plane of x with that of y: (N, C, H, W) twice → (N, C). Raises ShapeError."""
    require_floating("channel_dot", x=x, y=y)
    if x.ndim != 4 or x.shape != y.shape:
        raise ShapeError(f"channel_dot: x {x.shape} and y {y.shape} must be (N, C, H, W), and equal")
    return ChannelDot.apply(x, y)


def _check_scale(operation: str, a: Tensor, x: Tensor) -> None:
    fits = x.ndim == 4 and a.ndim in (2, 4) and a.shape[:2] == x.shape[:2] and a.shape[2:] in ((), (1, 1))
    if not fits:
        raise ShapeError(f"{operation}: scale {a.shape} must be (N, C) or (N, C, 1, 1) of x {x.shape}, (N, C, H, W)")
