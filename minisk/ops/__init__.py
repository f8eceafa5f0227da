"""Every operation as a function of Tensors, one family a file; importing this also attaches them to Tensor."""

from . import methods as methods  # attaches operations to Tensor
from .arithmetic import add, div, equal, greater, greater_equal, less, less_equal, mul, neg, not_equal, pow, sub
from .classification import cross_entropy, log_softmax, softmax
from .contraction import linear, matmul
from .convolution import conv2d
from .elementwise import abs, add_relu, clip, exp, log, maximum, minimum, relu, sigmoid, sqrt, tanh, where
from .indexing import get_item, set_item
from .normalization import batch_norm
from .pooling import avg_pool2d, global_avg_pool2d, max_pool2d
from .reductions import argmax, max, mean, min, sum, var
from .regularization import dropout
from .select import axpy, channel_dot, channel_scale, select
from .shapes import broadcast_to, cast, concatenate, expand_dims, pad, reshape

# isort: split
from .shapes import split, squeeze, stack, sum_to, to, transpose

__all__ = [
    "abs", "add", "add_relu", "argmax", "avg_pool2d", "axpy", "batch_norm", "broadcast_to", "cast", "channel_dot",
    "channel_scale", "clip", "concatenate", "conv2d", "cross_entropy", "div", "dropout", "equal", "exp", "expand_dims",
    "get_item", "global_avg_pool2d", "greater", "greater_equal", "less", "less_equal", "linear", "log", "log_softmax",
    "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum", "mul", "neg", "not_equal", "pad", "pow",
    "relu", "reshape", "select", "set_item", "sigmoid", "softmax", "split", "sqrt", "squeeze", "stack", "sub", "sum",
    "sum_to", "tanh", "to", "transpose", "var", "where",
]  # fmt: skip
