"""Every operation as a function of Tensors, one family a file. Tensor's operators and methods call these.

arithmetic   add sub mul div neg pow rpow                 activation    relu add_relu sigmoid tanh
comparison   equal less logical_and …                     softmax       softmax log_softmax
matmul       matmul linear                                loss          cross_entropy
elementwise  exp log sqrt abs clip where maximum …        dropout       dropout
reduction    sum mean var max min argmax                  convolution   conv2d conv2d_affine
shape        reshape transpose concatenate pad …          pooling       max_pool2d avg_pool2d global_avg_pool2d
indexing     get_item set_item in_place                   batch_norm    batch_norm
dtypes       cast                                         resize        interpolate
autocast     the rules of mixed precision
                                                          axpy, select  axpy channel_scale channel_dot; select
"""

import sys

from ..autograd.tensor import attach
from .activation import add_relu, relu, sigmoid, tanh
from .arithmetic import add, div, mul, neg, pow, sub
from .axpy import axpy, channel_dot, channel_scale
from .batch_norm import batch_norm
from .comparison import equal, greater, greater_equal, less, less_equal, logical_and, logical_not, logical_or, not_equal
from .convolution import conv2d, conv2d_affine
from .dropout import dropout
from .dtypes import cast
from .elementwise import abs, clip, exp, log, maximum, minimum, sqrt, where
from .indexing import get_item, set_item
from .loss import cross_entropy
from .matmul import linear, matmul
from .pooling import avg_pool2d, global_avg_pool2d, max_pool2d
from .reduction import argmax, max, mean, min, sum, var
from .resize import interpolate
from .select import select
from .shape import broadcast_to, concatenate, expand_dims, pad, reshape, split, squeeze, stack, sum_to, to, transpose
from .softmax import log_softmax, softmax

__all__ = ["add", "div", "linear", "matmul", "mul", "neg", "pow", "sub"]
__all__ += ["equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_not", "logical_or"]
__all__ += ["not_equal"]
__all__ += ["abs", "add_relu", "clip", "dropout", "exp", "log", "maximum", "minimum", "relu", "sigmoid", "sqrt", "tanh"]
__all__ += ["argmax", "cross_entropy", "log_softmax", "max", "mean", "min", "softmax", "sum", "var", "where"]
__all__ += ["broadcast_to", "cast", "concatenate", "expand_dims", "get_item", "pad", "reshape", "set_item", "split"]
__all__ += ["squeeze", "stack", "sum_to", "to", "transpose"]
__all__ += ["avg_pool2d", "axpy", "batch_norm", "channel_dot", "channel_scale", "conv2d", "conv2d_affine"]
__all__ += ["global_avg_pool2d", "interpolate", "max_pool2d", "select"]

attach(sys.modules[__name__])
