"""The seam: every array-level function (array in, array out) that operations call.

What runs behind a name is chosen behind this seam and nowhere else (`launcher.with_twin`): a compiled kernel, or the
NumPy formula of `twins`, which CuPy runs too, and against which the kernel is tested.
"""

from .convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from .planes import axpy, channel_dot, channel_scale, plane_mean
from .twins.convolution import Geometry
from .twins.normalization import batch_norm_backward, batch_norm_train
from .twins.pooling import Window, avg_pool2d, avg_pool2d_spread, max_pool2d, max_pool2d_gather, max_pool2d_scatter
from .twins.rows import log_softmax, relu, relu_grad, softmax, total
from .twins.updates import sgd_momentum

__all__ = [
    "Geometry", "Window", "avg_pool2d", "avg_pool2d_spread", "axpy", "batch_norm_backward", "batch_norm_train",
    "channel_dot", "channel_scale", "conv2d", "conv2d_input_grad", "conv2d_weight_grad", "log_softmax", "max_pool2d",
    "max_pool2d_gather", "max_pool2d_scatter", "plane_mean", "relu", "relu_grad", "sgd_momentum", "softmax", "total",
]  # fmt: skip
