"""Matrix products.

Y = A·B      dA = dY·Bᵀ      dB = Aᵀ·dY       A: (…, n, k)   B: (…, k, m)   Y: (…, n, m)
"""

from ..autograd import Context, Function, Operand, Tensor
from ..backend import Array
from ..errors import ShapeError
from .dtypes import floating_operands, operands
from .shape import Transpose, expand_dims, squeeze, sum_to, transpose


class Matmul(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        da = sum_to(matmul(dout, _transposed(b)), a.shape) if ctx.needs_input_grad[0] else None
        # As (dYᵀ·A)ᵀ: B is most often the transpose of linear's weight, whose gradient then lies row by row.
        db = sum_to(_transposed(matmul(_transposed(dout), a)), b.shape) if ctx.needs_input_grad[1] else None
        return da, db


def _transposed(x: Tensor) -> Tensor:
    """Return x with its last two axes exchanged."""
    last = x.ndim - 1
    return Transpose.apply(x, axes=(*range(last - 1), last, last - 1))


def matmul(a: Operand, b: Operand) -> Tensor:
    """Return the matrix product a @ b, as numpy.matmul.

    Args:
        a: (…, n, k) or (k,).
        b: (…, k, m) or (k,), of the same dtype.

    Returns:
        (…, n, m), with the leading axes broadcast; without n or m where a or b is a vector.

    Raises:
        ShapeError, DtypeError.
    """
    x, y = operands("matmul", a, b)
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ShapeError(f"matmul: {x.shape} @ {y.shape}: the last axis of the first must equal the rows of the second")
    left = expand_dims(x, 0) if x.ndim == 1 else x
    right = expand_dims(y, 1) if y.ndim == 1 else y
    try:
        product: Tensor = Matmul.apply(left, right)
    except ValueError:
        raise ShapeError(f"matmul: {x.shape} @ {y.shape}: leading axes do not broadcast") from None
    product = squeeze(product, -1) if y.ndim == 1 else product
    return squeeze(product, -2 if y.ndim > 1 else -1) if x.ndim == 1 else product


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x·weightᵀ + bias.

    Args:
        x: (…, in_features).
        weight: (out_features, in_features), of the same floating dtype.
        bias: (out_features,), or None.

    Returns:
        (…, out_features).

    Raises:
        ShapeError, DtypeError.
    """
    x, weight, bias = floating_operands("linear", x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: x {x.shape} must end in the in_features of weight {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {bias.shape} must have the {weight.shape[0]} out_features of weight")
    product = matmul(x, transpose(weight))
    return product if bias is None else product + bias
