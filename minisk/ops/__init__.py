"""Every operation as a function of Tensors, one family a file; importing this also attaches them to Tensor."""

from ..autograd.tensor import Tensor
from .arithmetic import add, div, equal, greater, greater_equal, less, less_equal, linear, matmul, mul, neg, not_equal

# isort: split
from .arithmetic import pow, reflected, rpow, sub
from .batch_norm import batch_norm
from .convolution import avg_pool2d, conv2d, global_avg_pool2d, max_pool2d
from .elementwise import abs, add_relu, clip, dropout, exp, log, maximum, minimum, relu, sigmoid, sqrt, tanh, where
from .indexing import get_item, iadd, idiv, imul, isub, set_item
from .reduction import argmax, cross_entropy, log_softmax, max, mean, min, softmax, sum, var
from .select import axpy, channel_dot, channel_scale, select
from .shape import broadcast_to, cast, concatenate, expand_dims, pad, reshape

# isort: split
from .shape import split, squeeze, stack, sum_to, to, transpose

__all__ = [
    "abs",
    "add",
    "add_relu",
    "argmax",
    "avg_pool2d",
    "axpy",
    "batch_norm",
    "broadcast_to",
    "cast",
    "channel_dot",
    "channel_scale",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "div",
    "dropout",
    "equal",
    "exp",
    "expand_dims",
    "get_item",
    "global_avg_pool2d",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "neg",
    "not_equal",
    "pad",
    "pow",
    "relu",
    "reshape",
    "select",
    "set_item",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "sum_to",
    "tanh",
    "to",
    "transpose",
    "var",
    "where",
]

# Attach operations to Tensor, as methods under the names they have here, and as operators.
NAMED = (abs, argmax, broadcast_to, clip, exp, log, max, mean, min, relu, reshape, sigmoid, sqrt, sum, tanh, to)
BINARY = {"add": add, "sub": sub, "mul": mul, "truediv": div, "matmul": matmul}
OPERATORS = {
    **BINARY,
    **{f"r{name}": reflected(operation) for name, operation in BINARY.items()},
    "iadd": iadd,
    "isub": isub,
    "imul": imul,
    "itruediv": idiv,
    "pow": pow,
    "rpow": rpow,
    "neg": neg,
    "eq": equal,
    "ne": not_equal,
    "lt": less,
    "le": less_equal,
    "gt": greater,
    "ge": greater_equal,
    "getitem": get_item,
    "setitem": set_item,
}
METHODS = {operation.__name__: operation for operation in (*NAMED, transpose, var)} | {"T": property(transpose)}
METHODS |= {f"__{name}__": operation for name, operation in OPERATORS.items()}

for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
