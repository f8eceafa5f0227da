"""Arguments to try each function of the dispatch with: the examples of a proof.

Sizes are small, and likely to fail: a plane of one element, one that fills no warp, one of several rounds and a tail.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backend import Array
from ..cuda.geometry import BatchStatistics, ConvGeometry, PoolWindow

PLANES = ((2, 3, 1, 1), (3, 2, 5, 7), (2, 2, 17, 19))  # (N, C, H, W)
ROWS = ((3, 1), (5, 37), (2, 300))
GEOMETRIES = (ConvGeometry((1, 1), (1, 1), (1, 1), 1), ConvGeometry((2, 1), (1, 2), (1, 2), 2))
WINDOWS = (
    PoolWindow((2, 2), (2, 2), (0, 0), (4, 3)),
    PoolWindow((3, 3), (2, 2), (1, 1), (4, 4), count_padding=False),
)
POOLED = (2, 3, 8, 7)  # that the windows move over
EPS = 1e-5

Draw = Callable[..., Array]
Examples = Iterator[tuple[Any, ...]]


def examples(name: str, dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    """Return the arguments of each example call.

    Args:
        name: of a function of `minisk.kernels`.
        dtype: of the arrays of floating-point numbers.
    """
    random = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return random.standard_normal(shape).astype(dtype)

    for names, make in _FAMILIES:
        if name in names:
            return list(make(name, draw))
    raise AssertionError(f"examples.py has none for {name}")  # a test holds that it has some for every name


def _scaled_planes(name: str, draw: Draw) -> Examples:
    for shape in PLANES:
        a, x, y = draw(*shape[:2]), draw(*shape), draw(*shape)
        yield {"axpy": (a, x, y), "channel_dot": (y, x), "plane_mean": (x,)}.get(name, (a, x))


def _select(name: str, draw: Draw) -> Examples:
    for count in (1, 2, 3):
        for shape in PLANES:
            n, c = shape[:2]
            branches = [draw(*shape) for _ in range(count)]
            logits = 30 * draw(n, count, c)  # without the maximum subtracted, e^x of these overflows in float32
            weights = np.full_like(logits, 1 / count)
            gradients = (draw(*shape), draw(n, count, c), weights)
            yield (logits, *branches) if name == "select" else (*gradients, *branches)


def _elementwise(name: str, draw: Draw) -> Examples:
    for shape in PLANES:
        x, y = draw(*shape), draw(*shape)
        yield (x,) if name in ("relu", "sigmoid") else (x, y)


def _sgd(name: str, draw: Draw) -> Examples:
    for shape in ROWS:
        for nesterov in (False, True):
            yield draw(*shape), draw(*shape), draw(*shape), 0.1, 0.9, 1e-4, nesterov


def _softmax(name: str, draw: Draw) -> Examples:
    for shape, axis in [*((rows, 1) for rows in ROWS), ((3, 4, 5), 1)]:
        y = np.abs(draw(*shape)) / shape[axis]
        yield (draw(*shape), y, axis) if name.endswith("grad") else (100 * draw(*shape), axis)


def _cross_entropy(name: str, draw: Draw) -> Examples:
    for shape in ROWS:
        logits, target = draw(*shape), np.abs(draw(*shape))
        yield (logits, target) if name == "cross_entropy" else (draw(1).reshape(()), logits, target)


def _batch_norm(name: str, draw: Draw) -> Examples:
    for shape in PLANES[1:]:
        channels = shape[1]
        x, dout, weight, bias = draw(*shape), draw(*shape), draw(channels), draw(channels)
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        statistics = BatchStatistics(mean, np.zeros_like(mean), var)
        for relu in (False, True):
            yield {
                "batch_norm_train": (x, weight, bias, EPS, relu),
                "batch_norm_apply": (x, weight, bias, statistics, EPS, relu),
                "batch_norm_backward": (dout, x, weight, bias, statistics, EPS, relu, True),
                "batch_norm_moments": (x,),
                "batch_norm_gradient_sums": (dout, x, weight, bias, statistics, EPS, relu),
                "batch_norm_input_grad": (dout, x, weight, bias, statistics, EPS, relu, draw(2, channels)),
            }[name]


def _convolution(name: str, draw: Draw) -> Examples:
    for geometry in GEOMETRIES:
        x, weight = draw(2, 4, 7, 9), draw(6, 4 // geometry.groups, 3, 3)
        dout = draw(2, 6, *geometry.output_size(x.shape[2:], (3, 3)))
        yield {
            "conv2d": (x, weight, geometry),
            "conv2d_affine": (x, weight, draw(6), draw(6), geometry.groups == 1, geometry),
            "conv2d_input_grad": (dout, weight, geometry, x.shape),
            "conv2d_weight_grad": (x, dout, geometry, weight.shape),
        }[name]


def _pooling(name: str, draw: Draw) -> Examples:
    for window in WINDOWS:
        x, dout = draw(*POOLED), draw(*POOLED[:2], *window.out)
        winner = np.full(dout.shape, window.kernel[1] + 1, np.int32)  # a tap that lies in the image for every window
        yield {
            "max_pool2d_scatter": (dout, winner, window, POOLED),
            "max_pool2d_gather": (x, winner, window),
            "avg_pool2d_spread": (dout, window, POOLED),
        }.get(name, (x, window))


def _resize(name: str, draw: Draw) -> Examples:
    for small, large in (((3, 4), (5, 9)), ((4, 5), (8, 10))):
        yield (draw(2, 3, *small), large) if name == "bilinear" else (draw(2, 3, *large), small)


_FAMILIES: tuple[tuple[tuple[str, ...], Callable[[str, Draw], Examples]], ...] = (
    (("axpy", "channel_scale", "channel_add", "channel_dot", "plane_mean"), _scaled_planes),
    (("select", "select_grad"), _select),
    (("add", "relu", "add_relu", "relu_grad", "sigmoid"), _elementwise),
    (("sgd_momentum",), _sgd),
    (("softmax", "log_softmax", "softmax_grad", "log_softmax_grad"), _softmax),
    (("cross_entropy", "cross_entropy_grad"), _cross_entropy),
    (("batch_norm_train", "batch_norm_apply", "batch_norm_backward"), _batch_norm),
    (("batch_norm_moments", "batch_norm_gradient_sums", "batch_norm_input_grad"), _batch_norm),
    (("conv2d", "conv2d_affine", "conv2d_input_grad", "conv2d_weight_grad"), _convolution),
    (("max_pool2d", "max_pool2d_scatter", "max_pool2d_gather", "avg_pool2d", "avg_pool2d_spread"), _pooling),
    (("bilinear", "bilinear_adjoint"), _resize),
)
