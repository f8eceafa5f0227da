"""The seam: every array-level function (array in, array out) that operations call.

What runs behind a name is chosen behind this seam and nowhere else (`launcher.with_twin`): a compiled kernel, or the
NumPy formula of `twins`, which CuPy runs too, and against which the kernel is tested.
"""

# To hand names on is what this module is for.
# mypy: implicit-reexport
# ruff: noqa: F401

from .convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from .elementwise import add_relu, relu, relu_grad, sgd_momentum
from .normalization import batch_norm_apply, batch_norm_backward, batch_norm_train
from .planes import axpy, channel_dot, channel_scale, plane_mean
from .pooling import avg_pool2d, avg_pool2d_spread, max_pool2d, max_pool2d_gather, max_pool2d_scatter
from .rows import cross_entropy, cross_entropy_grad, log_softmax, log_softmax_grad, softmax, softmax_grad
from .select import select, select_grad
from .twins.convolution import Geometry
from .twins.normalization import Statistics
from .twins.rows import total
from .twins.windows import Window
