"""The seam: every array-level function (array in, array out) that operations call.

What runs behind a name is chosen behind this seam and nowhere else (`launcher.with_twin`): a compiled kernel, or the
NumPy formula of `twins`, which CuPy runs too, and against which the kernel is tested.
"""

# To hand names on is what this module is for.
# mypy: implicit-reexport
# ruff: noqa: F401, I001

from ..cuda.convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from ..cuda.batch_norm import batch_norm_apply, batch_norm_backward, batch_norm_train
from ..cuda.planes import add, add_relu, avg_pool2d, avg_pool2d_spread, axpy, channel_dot, channel_scale, cross_entropy
from ..cuda.planes import (
    cross_entropy_grad,
    log_softmax,
    log_softmax_grad,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_scatter,
)
from ..cuda.planes import plane_mean, relu, relu_grad, select, select_grad, sgd_momentum, softmax, softmax_grad
from ..cuda.twins.batch_norm import BatchStatistics
from ..cuda.twins.planes import total
from ..cuda.twins.windows import ConvGeometry, PoolWindow
