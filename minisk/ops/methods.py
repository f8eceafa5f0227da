"""Attach operations to Tensor, as operators, and as methods under the names they have in `minisk.ops`."""

from ..tensor import Tensor
from . import arithmetic, contraction, elementwise, indexing, reductions, shapes

NAMESAKES = (
    elementwise.abs, elementwise.clip, elementwise.exp, elementwise.log, elementwise.relu, elementwise.sigmoid,
    elementwise.sqrt, elementwise.tanh, reductions.argmax, reductions.max, reductions.mean, reductions.min,
    reductions.sum, reductions.var, shapes.broadcast_to, shapes.reshape, shapes.to, shapes.transpose,
)  # fmt: skip
METHODS = {operation.__name__: operation for operation in NAMESAKES} | {
    "__add__": arithmetic.add,
    "__radd__": arithmetic.add,
    "__iadd__": indexing.iadd,
    "__sub__": arithmetic.sub,
    "__rsub__": lambda x, other: arithmetic.sub(other, x),
    "__isub__": indexing.isub,
    "__mul__": arithmetic.mul,
    "__rmul__": arithmetic.mul,
    "__imul__": indexing.imul,
    "__truediv__": arithmetic.div,
    "__rtruediv__": lambda x, other: arithmetic.div(other, x),
    "__itruediv__": indexing.idiv,
    "__matmul__": contraction.matmul,
    "__rmatmul__": lambda x, other: contraction.matmul(other, x),
    "__pow__": arithmetic.pow,
    "__rpow__": arithmetic.rpow,
    "__neg__": arithmetic.neg,
    "__eq__": arithmetic.equal,
    "__ne__": arithmetic.not_equal,
    "__lt__": arithmetic.less,
    "__le__": arithmetic.less_equal,
    "__gt__": arithmetic.greater,
    "__ge__": arithmetic.greater_equal,
    "__getitem__": indexing.get_item,
    "__setitem__": indexing.set_item,
    "T": property(shapes.transpose),
}

for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
