"""The reference implementation of each kernel: its formula in a few lines of NumPy, which also runs on CuPy.

The dispatch uses it where no kernel can run, and every kernel is tested against it. A file has the name of the `.cu`
file whose formulas it holds.
"""

from .axpy import axpy, channel_add, channel_dot, channel_scale, plane_mean
from .batch_norm import (
    batch_norm_apply,
    batch_norm_backward,
    batch_norm_gradient_sums,
    batch_norm_input_grad,
    batch_norm_moments,
    batch_norm_train,
)
from .convolution import conv2d, conv2d_affine, conv2d_input_grad, conv2d_weight_grad
from .cross_entropy import cross_entropy, cross_entropy_grad
from .elementwise import add, add_relu, relu, relu_grad, sigmoid, total
from .pooling import avg_pool2d, avg_pool2d_spread, max_pool2d, max_pool2d_gather, max_pool2d_scatter
from .precision import masked
from .resize import bilinear, bilinear_adjoint
from .select import select, select_grad
from .sgd import sgd_momentum
from .softmax import log_softmax, log_softmax_grad, softmax, softmax_grad

__all__ = [
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
    "relu",
    "relu_grad",
    "select",
    "select_grad",
    "sgd_momentum",
    "sigmoid",
    "softmax",
    "softmax_grad",
    "total",
]
