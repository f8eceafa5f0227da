"""The dispatch: every array-level function (array in, array out) that operations call.

Each function runs a hand-written kernel of `minisk/cuda/`, or the formula of `reference/`, which CuPy runs too. Nothing
else in the package chooses between the two. `dispatch.py` holds the rules.
"""

from ..backend import Array
from ..cuda.axpy import launch_axpy, launch_channel_add, launch_channel_dot, launch_channel_scale, launch_plane_mean
from ..cuda.batch_norm import (
    launch_batch_norm_apply,
    launch_batch_norm_backward,
    launch_batch_norm_gradient_sums,
    launch_batch_norm_input_grad,
    launch_batch_norm_moments,
    launch_batch_norm_train,
)
from ..cuda.convolution import launch_conv2d, launch_conv2d_input_grad
from ..cuda.cross_entropy import launch_cross_entropy, launch_cross_entropy_grad
from ..cuda.elementwise import launch_add, launch_add_relu, launch_relu, launch_relu_grad, launch_sigmoid
from ..cuda.geometry import BatchStatistics, ConvGeometry, Finish, Pair, PoolWindow
from ..cuda.pooling import (
    launch_avg_pool2d,
    launch_avg_pool2d_spread,
    launch_max_pool2d,
    launch_max_pool2d_gather,
    launch_max_pool2d_scatter,
)
from ..cuda.resize import are_positions_exact, launch_bilinear, launch_bilinear_adjoint
from ..cuda.select import MOST_BRANCHES, launch_select, launch_select_grad
from ..cuda.sgd import launch_sgd_momentum
from ..cuda.softmax import launch_softmax, launch_softmax_grad
from ..cuda.weight_gradient import launch_conv2d_weight_grad
from . import reference
from .dispatch import are_contiguous, contiguous, use_kernel, with_fallback
from .reference import masked, total
from .replacement import Proof, prove, replaced

__all__ = [
    "BatchStatistics",
    "ConvGeometry",
    "PoolWindow",
    "Proof",
    "add",
    "add_relu",
    "avg_pool2d",
    "avg_pool2d_spread",
    "axpy",
    "batch_norm_apply",
    "batch_norm_backward",
    "batch_norm_gradient_sums",
    "batch_norm_input_grad",
    "batch_norm_moments",
    "batch_norm_train",
    "bilinear",
    "bilinear_adjoint",
    "channel_add",
    "channel_dot",
    "channel_scale",
    "conv2d",
    "conv2d_affine",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "cross_entropy",
    "cross_entropy_grad",
    "log_softmax",
    "log_softmax_grad",
    "masked",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_scatter",
    "plane_mean",
    "prove",
    "relu",
    "relu_grad",
    "replaced",
    "select",
    "select_grad",
    "sgd_momentum",
    "sigmoid",
    "softmax",
    "softmax_grad",
    "total",
]

# --- Planes: axpy.cu, select.cu. A plane is one channel of one image. ---------------------------------------


@with_fallback
def axpy(a: Array, x: Array, y: Array) -> Array:
    """Return out[n,c,h,w] = a[n,c] · x[n,c,h,w] + y[n,c,h,w]: one scale per plane.

    a: (N, C); x, y, out: (N, C, H, W).
    """
    if not use_kernel(a, x, y, min_size=32768):
        return reference.axpy(a, x, y)
    return launch_axpy(contiguous(a), contiguous(x), contiguous(y))


@with_fallback
def channel_scale(a: Array, x: Array) -> Array:
    """Return out[n,c,h,w] = a[n,c] · x[n,c,h,w]. a: (N, C); x, out: (N, C, H, W)."""
    if not use_kernel(a, x, min_size=32768):
        return reference.channel_scale(a, x)
    return launch_channel_scale(contiguous(a), contiguous(x))


@with_fallback
def channel_add(a: Array, x: Array) -> Array:
    """Return out[n,c,h,w] = a[n,c] + x[n,c,h,w]. a: (N, C); x, out: (N, C, H, W)."""
    if not use_kernel(a, x, min_size=65536):
        return reference.channel_add(a, x)
    return launch_channel_add(contiguous(a), contiguous(x))


@with_fallback
def channel_dot(g: Array, x: Array) -> Array:
    """Return out[n,c] = Σ_hw g[n,c,h,w] · x[n,c,h,w]. g, x: (N, C, H, W); out: (N, C)."""
    if not use_kernel(g, x, min_size=32768):
        return reference.channel_dot(g, x)
    return launch_channel_dot(contiguous(g), contiguous(x))


@with_fallback
def plane_mean(x: Array) -> Array:
    """Return out[n,c] = Σ_hw x[n,c,h,w] / (H·W). x: (N, C, H, W); out: (N, C)."""
    if not use_kernel(x, min_size=32768):
        return reference.plane_mean(x)
    return launch_plane_mean(contiguous(x))


@with_fallback
def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    """Return out = Σ_m a[:, m] ⊙ branch_m, and the weights a = softmax of the logits over m.

    logits, a: (N, M, C); each of the M branches, out: (N, C, H, W). Source: Li et al., CVPR 2019, section 3.1.
    """
    if not use_kernel(logits, *branches, min_size=8192) or len(branches) > MOST_BRANCHES:
        return reference.select(logits, *branches)
    return launch_select(contiguous(logits), [contiguous(branch) for branch in branches])


@with_fallback
def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    """Return the gradient of the logits, (N, M, C), then that of each branch, (N, C, H, W).

        dbranch_m = a[:, m] ⊙ dout      dlogits = a · (da - Σ_m a · da),   da[n,m,c] = Σ_hw dout · branch_m + dweights

    Args:
        dout: the gradient of out, (N, C, H, W).
        dweights: the gradient that reaches the weights themselves, (N, M, C).
        weights: a, as `select` returned it, (N, M, C).
        branches: as `select` took them.
    """
    if not use_kernel(dout, dweights, weights, *branches, min_size=8192) or len(branches) > MOST_BRANCHES:
        return reference.select_grad(dout, dweights, weights, *branches)
    dlogits, dbranches = launch_select_grad(
        contiguous(dout), contiguous(dweights), contiguous(weights), [contiguous(branch) for branch in branches]
    )
    return dlogits, *dbranches


# --- Elements: elementwise.cu, sgd.cu ------------------------------------------------------------------------


@with_fallback
def add(x: Array, y: Array) -> Array:
    """Return x + y, of one shape.

    An operand (N, C, H, W) that repeats one element over each plane (strides 0), as the gradient of a mean does, is
    read once per plane.
    """
    if _repeats_over_planes(y) and x.flags.c_contiguous:
        return channel_add(y[:, :, 0, 0], x)
    if _repeats_over_planes(x) and y.flags.c_contiguous:
        return channel_add(x[:, :, 0, 0], y)
    # To copy an operand would take as long as to add it.
    if not are_contiguous(x, y) or not use_kernel(x, y, min_size=65536):
        return reference.add(x, y)
    return launch_add(x, y)


def _repeats_over_planes(x: Array) -> bool:
    return x.ndim == 4 and x.strides[2:] == (0, 0) and x.size > 0


@with_fallback
def relu(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    if not use_kernel(x, min_size=65536):
        return reference.relu(x)
    return launch_relu(contiguous(x))


@with_fallback
def add_relu(x: Array, y: Array) -> Array:
    """Return max(x + y, 0), the end of a residual unit. x, y: of one shape."""
    if not use_kernel(x, y, min_size=65536):
        return reference.add_relu(x, y)
    return launch_add_relu(contiguous(x), contiguous(y))


@with_fallback
def relu_grad(dout: Array, y: Array) -> Array:
    """Return 0 where y ≤ 0, else dout; y may be ReLU's input or its output. Where y is NaN, dout passes."""
    if not use_kernel(dout, y, min_size=65536):
        return reference.relu_grad(dout, y)
    return launch_relu_grad(contiguous(dout), contiguous(y))


@with_fallback
def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ); no x overflows."""
    if not use_kernel(x, min_size=8192):
        return reference.sigmoid(x)
    return launch_sigmoid(contiguous(x))


@with_fallback
def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """Update weight and velocity in place, by one step of SGD with momentum as PyTorch defines it.

        g = grad + weight_decay · weight      v ← momentum · v + g      weight ← weight - lr · (g + momentum · v, or v)

    Args:
        weight, grad, velocity: arrays of one shape and dtype.
        lr, momentum, weight_decay: as in the formula.
        nesterov: subtract lr · (g + momentum · v) instead of lr · v.
    """
    # No copies: the arrays are changed in place.
    if not are_contiguous(weight, grad, velocity) or not use_kernel(weight, grad, velocity, min_size=32768):
        return reference.sgd_momentum(weight, grad, velocity, lr, momentum, weight_decay, nesterov)
    return launch_sgd_momentum(weight, grad, velocity, lr, momentum, weight_decay, nesterov)


# --- Rows: softmax.cu, cross_entropy.cu ----------------------------------------------------------------------


@with_fallback
def softmax(x: Array, axis: int) -> Array:
    """Return y_i = e^(x_i - m) / Σ_j e^(x_j - m) along an axis, m = max x. axis: from 0."""
    if not use_kernel(x, min_size=8192):
        return reference.softmax(x, axis)
    return launch_softmax(contiguous(x), axis, is_log=False)


@with_fallback
def log_softmax(x: Array, axis: int) -> Array:
    """Return y_i = x_i - m - log Σ_j e^(x_j - m) along an axis, m = max x. axis: from 0."""
    if not use_kernel(x, min_size=8192):
        return reference.log_softmax(x, axis)
    return launch_softmax(contiguous(x), axis, is_log=True)


@with_fallback
def softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    """Return dx = y · (dy - Σ dy·y), the gradient of x, for y = softmax(x)."""
    if not use_kernel(dy, y, min_size=8192):
        return reference.softmax_grad(dy, y, axis)
    return launch_softmax_grad(contiguous(dy), contiguous(y), axis, is_log=False)


@with_fallback
def log_softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    """Return dx = dy - e^y · Σ dy, the gradient of x, for y = log_softmax(x)."""
    if not use_kernel(dy, y, min_size=8192):
        return reference.log_softmax_grad(dy, y, axis)
    return launch_softmax_grad(contiguous(dy), contiguous(y), axis, is_log=True)


@with_fallback
def cross_entropy(logits: Array, target: Array) -> Array:
    """Return loss[n] = -Σ_k target[n,k] · log_softmax(logits)[n,k].

    logits and target, the share of each class: (N, K); loss: (N,), float32 for float16 logits.
    """
    if not use_kernel(logits, target, min_size=8192):
        return reference.cross_entropy(logits, target)
    return launch_cross_entropy(contiguous(logits), contiguous(target))


@with_fallback
def cross_entropy_grad(dloss: Array, logits: Array, target: Array) -> Array:
    """Return dlogits = (softmax(logits) · Σ_k target - target) · dloss / N, (N, K).

    dloss: the gradient of the mean loss, (); logits, target: (N, K).
    """
    if not use_kernel(logits, target, dloss, min_size=8192):
        return reference.cross_entropy_grad(dloss, logits, target)
    return launch_cross_entropy_grad(contiguous(dloss), contiguous(logits), contiguous(target))


# --- Batch norm: batch_norm.cu -------------------------------------------------------------------------------


@with_fallback
def batch_norm_train(x: Array, weight: Array, bias: Array, eps: float, relu: bool) -> tuple[Array, BatchStatistics]:
    """Return out = weight · (x - mean) / sqrt(var + eps) + bias, and the statistics of the batch.

    x, out: (N, C, …); weight, bias: (C,), in the dtype of x, or float32. relu: return max(out, 0) instead.
    Source: Ioffe and Szegedy, 2015.
    """
    if not use_kernel(x, min_size=8192):
        return reference.batch_norm_train(x, weight, bias, eps, relu)
    return launch_batch_norm_train(contiguous(x), contiguous(weight), contiguous(bias), eps, relu)


@with_fallback
def batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return out as `batch_norm_train` does, for given statistics."""
    if not use_kernel(x, min_size=8192):
        return reference.batch_norm_apply(x, weight, bias, statistics, eps, relu)
    return launch_batch_norm_apply(contiguous(x), contiguous(weight), contiguous(bias), statistics, eps, relu)


@with_fallback
def batch_norm_backward(
    dout: Array,
    x: Array,
    weight: Array,
    bias: Array,
    statistics: BatchStatistics,
    eps: float,
    relu: bool,
    depends: bool,
) -> tuple[Array, Array, Array]:
    """Return dx, (N, C, …), and dweight and dbias, (C,); reference/batch_norm.py has the formulas.

    Args:
        dout, x: (N, C, …).
        weight, bias: (C,).
        statistics: those that forward used.
        eps, relu: as in forward.
        depends: whether the statistics are those of x. If they are constants, dx has two terms less.
    """
    if not use_kernel(dout, x, min_size=8192):
        return reference.batch_norm_backward(dout, x, weight, bias, statistics, eps, relu, depends)
    dout, x, weight, bias = contiguous(dout), contiguous(x), contiguous(weight), contiguous(bias)
    return launch_batch_norm_backward(dout, x, weight, bias, statistics, eps, relu, depends)


# The steps of batch norm one by one: statistics of images on several processes need a sum between them.


@with_fallback
def batch_norm_moments(x: Array) -> Array:
    """Return mean and biased variance of each channel of x, (N, C, …), as float64 (2, C)."""
    if not use_kernel(x, min_size=8192):
        return reference.batch_norm_moments(x)
    return launch_batch_norm_moments(contiguous(x)).in_float64()


@with_fallback
def batch_norm_gradient_sums(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return dbias and dweight of `batch_norm_backward`, (2, C); float32 for float16."""
    if not use_kernel(dout, x, min_size=8192):
        return reference.batch_norm_gradient_sums(dout, x, weight, bias, statistics, eps, relu)
    dout, x, weight, bias = contiguous(dout), contiguous(x), contiguous(weight), contiguous(bias)
    return launch_batch_norm_gradient_sums(dout, x, weight, bias, statistics, eps, relu)


@with_fallback
def batch_norm_input_grad(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, means: Array
) -> Array:
    """Return dx of `batch_norm_backward`, where the statistics depend on x and on other images.

    Args:
        dout, x, weight, bias, statistics, eps, relu: as there.
        means: dbias / m and dweight / m, (2, C), over all m elements of a channel that the statistics are of.
    """
    if not use_kernel(dout, x, min_size=8192):
        return reference.batch_norm_input_grad(dout, x, weight, bias, statistics, eps, relu, means)
    dout, x, weight, bias = contiguous(dout), contiguous(x), contiguous(weight), contiguous(bias)
    return launch_batch_norm_input_grad(dout, x, weight, bias, statistics, eps, relu, means)


# --- Windows: convolution.cu, pooling.cu ---------------------------------------------------------------------


@with_fallback
def conv2d(x: Array, weight: Array, geometry: ConvGeometry, bias: Array | None = None) -> Array:
    """Return the convolution of x with weight, plus a bias; reference/convolution.py has the formula.

    x: (N, C, H, W); weight: (O, C / groups, kh, kw); bias: (O,), or None; the result: (N, O, Ho, Wo).
    """
    out = None
    if use_kernel(x, weight):
        bias = bias if bias is None else contiguous(bias)
        out = launch_conv2d(contiguous(x), contiguous(weight), geometry, Finish(bias=bias))
    return reference.conv2d(x, weight, geometry, bias) if out is None else out


@with_fallback
def conv2d_affine(x: Array, weight: Array, scale: Array, bias: Array, relu: bool, geometry: ConvGeometry) -> Array:
    """Return scale · conv2d(x, weight) + bias, (N, O, Ho, Wo), and with relu 0 where that is negative.

    x: (N, C, H, W); weight: (O, C / groups, kh, kw); scale, bias: (O,).
    """
    out = None
    if use_kernel(x, weight, scale, bias):
        finish = Finish(contiguous(scale), contiguous(bias), relu)
        out = launch_conv2d(contiguous(x), contiguous(weight), geometry, finish)
    return reference.conv2d_affine(x, weight, scale, bias, relu, geometry) if out is None else out


@with_fallback
def conv2d_input_grad(dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape, (N, C, H, W), from dout, (N, O, Ho, Wo), and weight, (O, C / groups, kh, kw)."""
    dx = None
    if use_kernel(dout, weight):
        dx = launch_conv2d_input_grad(contiguous(dout), contiguous(weight), geometry, shape)
    return reference.conv2d_input_grad(dout, weight, geometry, shape) if dx is None else dx


@with_fallback
def conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dweight of this shape, (O, C / groups, kh, kw), from x, (N, C, H, W), and dout, (N, O, Ho, Wo)."""
    dweight = None
    if use_kernel(x, dout):
        dweight = launch_conv2d_weight_grad(contiguous(x), contiguous(dout), geometry, shape)
    return reference.conv2d_weight_grad(x, dout, geometry, shape) if dweight is None else dweight


@with_fallback
def max_pool2d(x: Array, window: PoolWindow) -> tuple[Array, Array]:
    """Return the maximum of each window, and the number of the tap that it came from (int32), both (N, C, Ho, Wo).

    x: (N, C, H, W). The first of equal elements wins; NaN wins over all. The taps count row by row from 0.
    """
    if not use_kernel(x, min_size=8192):
        return reference.max_pool2d(x, window)
    return launch_max_pool2d(contiguous(x), window)


@with_fallback
def max_pool2d_scatter(dout: Array, winner: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape, (N, C, H, W): each window's gradient goes to the element that won it.

    dout, winner: (N, C, Ho, Wo), winner as `max_pool2d` returned it.
    """
    if not use_kernel(dout, min_size=8192):
        return reference.max_pool2d_scatter(dout, winner, window, shape)
    return launch_max_pool2d_scatter(contiguous(dout), contiguous(winner), window, shape)


@with_fallback
def max_pool2d_gather(x: Array, winner: Array, window: PoolWindow) -> Array:
    """Return the element of x that won each window, (N, C, Ho, Wo): the adjoint of `max_pool2d_scatter`."""
    if not use_kernel(x, min_size=8192):
        return reference.max_pool2d_gather(x, winner, window)
    return launch_max_pool2d_gather(contiguous(x), contiguous(winner), window)


@with_fallback
def avg_pool2d(x: Array, window: PoolWindow) -> Array:
    """Return the mean of each window, over the elements that `window` counts.

    x: (N, C, H, W); the result: (N, C, Ho, Wo).
    """
    if not use_kernel(x, min_size=8192):
        return reference.avg_pool2d(x, window)
    return launch_avg_pool2d(contiguous(x), window)


@with_fallback
def avg_pool2d_spread(dout: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape, (N, C, H, W): each element of a window gets an equal share of the window's gradient."""
    if not use_kernel(dout, min_size=8192):
        return reference.avg_pool2d_spread(dout, window, shape)
    return launch_avg_pool2d_spread(contiguous(dout), window, shape)


# --- Resize: resize.cu ---------------------------------------------------------------------------------------


@with_fallback
def bilinear(x: Array, size: Pair) -> Array:
    """Return x, (N, C, H, W), resized to (N, C, Ho, Wo) by interpolation with aligned corners. size: (Ho, Wo)."""
    if not use_kernel(x, min_size=8192) or not are_positions_exact(x.shape, size):
        return reference.bilinear(x, size)
    return launch_bilinear(contiguous(x), size)


@with_fallback
def bilinear_adjoint(dout: Array, size: Pair) -> Array:
    """Return dx, (N, C, H, W), from dout, (N, C, Ho, Wo): each output's gradient goes to the inputs that it read.

    size: (H, W).
    """
    if not use_kernel(dout, min_size=8192) or not are_positions_exact(dout.shape, size):
        return reference.bilinear_adjoint(dout, size)
    return launch_bilinear_adjoint(contiguous(dout), size)
