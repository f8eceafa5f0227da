"""Select: the last step of a selective-kernel unit, in one pass: a softmax over branches and their weighted sum.

    a[n,m,c] = softmax_m(logits)[n,m,c]       out[n,c,h,w] = Σ_m a[n,m,c] · branch_m[n,c,h,w]

    da[n,m,c] = Σ_hw dout · branch_m + da₀    dlogits = a · (da - Σ_m a·da)     dbranch_m = a[:,m] · dout

The weights a are the second output, and da₀ is its incoming gradient (`dweights`). Where only the weights are used,
there is no dout: zeros in its place would make an infinite branch NaN, 0 · inf.

Source: Li et al., *Selective Kernel Networks*, 2019, equations 5 and 6. The Caffe original uses a
softmax and Axpy layers.
"""

from collections.abc import Sequence

from .. import kernels
from ..autograd import Context, Function, Tensor, is_grad_enabled
from ..backend import Array, array_module
from ..errors import ShapeError
from .axpy import channel_dot, channel_scale
from .dtypes import floating_operands, rounded_once
from .shape import stack


class Select(Function):
    @staticmethod
    def forward(ctx: Context, logits: Array, *branches: Array) -> tuple[Array, Array]:
        out, weights = kernels.select(logits, *branches)
        ctx.save_for_backward(weights, *branches)
        ctx.set_materialize_grads(False)
        return out, weights

    @staticmethod
    def backward(ctx: Context, dout: Tensor | None, dweights: Tensor | None) -> tuple[Tensor | None, ...]:
        weights, *branches = ctx.saved_tensors
        if dweights is None:
            dweights = Tensor(array_module(weights.data).zeros_like(weights.data))
        if dout is None:
            return _dlogits(weights, dweights), *[None for _ in branches]
        if not is_grad_enabled():  # no graph is recorded, so the fused kernel can be used
            arrays = [tensor.data for tensor in (dout, dweights, weights, *branches)]
            return tuple(Tensor(gradient) for gradient in kernels.select_grad(*arrays))
        da = stack([channel_dot(dout, branch) for branch in branches], axis=1) + dweights
        return _dlogits(weights, da), *(channel_scale(weights[:, m], dout) for m in range(len(branches)))


@rounded_once
def _dlogits(weights: Tensor, da: Tensor) -> Tensor:
    return weights * (da - (weights * da).sum(1, keepdims=True))


def select(logits: Tensor, branches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the sum of the branches, weighted in each channel by a softmax over branches; and the weights.

    Args:
        logits: (N, M, C), floating.
        branches: M ≥ 1 Tensors (N, C, H, W), of the same dtype.

    Returns:
        The sum, (N, C, H, W), and the weights, (N, M, C).

    Raises:
        ShapeError, DtypeError.
    """
    named = {f"branch_{m}": branch for m, branch in enumerate(branches)}
    logits, *branches = floating_operands("select", logits=logits, **named)
    shapes = [branch.shape for branch in branches]
    fits = bool(shapes) and len(shapes[0]) == 4 and logits.shape == (shapes[0][0], len(shapes), shapes[0][1])
    if not fits or len(set(shapes)) > 1:
        raise ShapeError(f"select: logits {logits.shape} must be (N, M, C) for M branches (N, C, H, W), got {shapes}")
    return Select.apply(logits, *branches)
