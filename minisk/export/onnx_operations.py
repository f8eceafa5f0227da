"""How each operation is written in ONNX: one small function an operation, in a table keyed by its Function class.

A function gets the graph, then what `Function.apply` got: inputs by position, settings by name. It adds nodes, and
returns the name of the output, or a tuple of names. Operators are those of opset 17.

    @writes(Square)
    def _square(graph, x):
        return graph.add("Mul", x, x)
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Function, Tensor
from ..errors import MiniskError
from ..kernels import ConvGeometry, PoolWindow
from ..ops.activation import AddRelu, Relu, Sigmoid, Tanh
from ..ops.arithmetic import Add, Div, Mul, Neg, Pow, PowOf, Sub
from ..ops.axpy import Axpy, ChannelDot, ChannelScale
from ..ops.batch_norm import BatchNorm, Running
from ..ops.convolution import Conv2d
from ..ops.dtypes import Cast
from ..ops.elementwise import Abs, Clip, Exp, Log, Maximum, Minimum, Sqrt
from ..ops.indexing import GetItem
from ..ops.matmul import Matmul
from ..ops.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from ..ops.reduction import Max, Min, Sum
from ..ops.resize import Resize
from ..ops.select import Select
from ..ops.shape import BroadcastTo, Concatenate, Pad, Reshape, ToDevice, Transpose
from ..ops.softmax import LogSoftmax, Softmax
from .onnx_graph import OnnxGraph

Writer = Callable[..., str | tuple[str, ...]]
Axes = tuple[int, ...]

WRITERS: dict[type[Function], Writer] = {}
_FIRST, _LAST = -(2**63), 2**63 - 1  # beyond both ends of every axis


def writes(function: type[Function]) -> Callable[[Writer], Writer]:
    """Return a decorator that enters a function into the table as the writer of this operation."""

    def enter(writer: Writer) -> Writer:
        WRITERS[function] = writer
        return writer

    return enter


# --- Operations that ONNX has under another name or the same -------------------------------------------------


def _same(operator: str) -> Writer:
    """Return the writer of an operation that is one operator with the same inputs and no attributes."""
    return lambda graph, *inputs: graph.add(operator, *inputs)


WRITERS |= {
    Abs: _same("Abs"),
    Add: _same("Add"),
    Div: _same("Div"),
    Exp: _same("Exp"),
    Log: _same("Log"),
    Matmul: _same("MatMul"),
    Maximum: _same("Max"),
    Minimum: _same("Min"),
    Mul: _same("Mul"),
    Neg: _same("Neg"),
    Relu: _same("Relu"),
    Sigmoid: _same("Sigmoid"),
    Sqrt: _same("Sqrt"),
    Sub: _same("Sub"),
    Tanh: _same("Tanh"),
}


@writes(AddRelu)
def _add_relu(graph: OnnxGraph, a: Tensor, b: Tensor) -> str:
    return graph.add("Relu", graph.add("Add", a, b))


@writes(Pow)
def _pow(graph: OnnxGraph, x: Tensor, *, exponent: float) -> str:
    return graph.add("Pow", x, np.asarray(exponent, x.dtype))


@writes(PowOf)
def _pow_of(graph: OnnxGraph, x: Tensor, *, base: float) -> str:
    return graph.add("Pow", np.asarray(base, x.dtype), x)


@writes(Clip)
def _clip(graph: OnnxGraph, x: Tensor, *, min: float | None, max: float | None) -> str:
    bounds = [None if bound is None else np.asarray(bound, x.dtype) for bound in (min, max)]
    return graph.add("Clip", x, *bounds)


@writes(Softmax)
def _softmax(graph: OnnxGraph, x: Tensor, *, axis: int) -> str:
    return graph.add("Softmax", x, axis=axis)


@writes(LogSoftmax)
def _log_softmax(graph: OnnxGraph, x: Tensor, *, axis: int) -> str:
    return graph.add("LogSoftmax", x, axis=axis)


@writes(Cast)
def _cast(graph: OnnxGraph, x: Tensor, *, dtype: np.dtype[Any]) -> str:
    from onnx import helper

    return graph.add("Cast", x, to=int(helper.np_dtype_to_tensor_dtype(dtype)))


@writes(ToDevice)
def _to_device(graph: OnnxGraph, x: Tensor, *, device: str) -> str:
    return graph.name(x)  # a file has no devices


# --- Reductions ----------------------------------------------------------------------------------------------


@writes(Sum)
def _sum(graph: OnnxGraph, x: Tensor, *, axes: Axes, keepdims: bool) -> str:
    if not axes:  # to ONNX, no axes would be all axes
        return graph.name(x)
    return graph.add("ReduceSum", x, graph.integers(*axes), keepdims=int(keepdims))


@writes(Max)
def _max(graph: OnnxGraph, x: Tensor, *, axes: Axes, keepdims: bool) -> str:
    return graph.add("ReduceMax", x, axes=axes, keepdims=int(keepdims)) if axes else graph.name(x)


@writes(Min)
def _min(graph: OnnxGraph, x: Tensor, *, axes: Axes, keepdims: bool) -> str:
    return graph.add("ReduceMin", x, axes=axes, keepdims=int(keepdims)) if axes else graph.name(x)


# --- Shapes --------------------------------------------------------------------------------------------------


@writes(Reshape)
def _reshape(graph: OnnxGraph, x: Tensor, *, shape: Axes) -> str:
    keeps_first = x.ndim > 0 and len(shape) > 0 and shape[0] == x.shape[0]
    # 0 copies the size of the input's axis: so a batch of any size keeps its size.
    return graph.add("Reshape", x, graph.integers(*((0, *shape[1:]) if keeps_first else shape)))


@writes(Transpose)
def _transpose(graph: OnnxGraph, x: Tensor, *, axes: Axes) -> str:
    return graph.add("Transpose", x, perm=axes)


@writes(BroadcastTo)
def _broadcast_to(graph: OnnxGraph, x: Tensor, *, shape: Axes) -> str:
    added = len(shape) - x.ndim
    # 1 keeps the size of the input's axis, whatever it is.
    sizes = [1 if i >= added and x.shape[i - added] == size else size for i, size in enumerate(shape)]
    return graph.add("Expand", x, graph.integers(*sizes))


@writes(Pad)
def _pad(graph: OnnxGraph, x: Tensor, *, pad_width: tuple[tuple[int, int], ...]) -> str:
    before, after = zip(*pad_width, strict=True)
    return graph.add("Pad", x, graph.integers(*before, *after))


@writes(Concatenate)
def _concatenate(graph: OnnxGraph, *tensors: Tensor, axis: int) -> str:
    return graph.add("Concat", *tensors, axis=axis)


@writes(GetItem)
def _get_item(graph: OnnxGraph, x: Tensor, *, index: Any) -> str:
    parts = _without_ellipsis(index if isinstance(index, tuple) else (index,), x)
    sliced = [(axis, part) for axis, part in enumerate(p for p in parts if p is not None) if isinstance(part, slice)]
    sliced = [(axis, part) for axis, part in sliced if part != slice(None)]
    name = graph.name(x)
    if sliced:
        vectors = zip(*[_slice_numbers(axis, part) for axis, part in sliced], strict=True)
        name = graph.add("Slice", name, *[graph.integers(*numbers) for numbers in vectors])
    for axis, part in reversed(list(enumerate(p for p in parts if p is not None))):
        if not isinstance(part, slice):  # Gather by a scalar removes the axis
            name = graph.add("Gather", name, np.asarray(part, np.int64), axis=axis)
    kept = [part for part in parts if part is None or isinstance(part, slice)]
    added = [position for position, part in enumerate(kept) if part is None]
    return graph.add("Unsqueeze", name, graph.integers(*added)) if added else name


def _without_ellipsis(parts: Sequence[Any], x: Tensor) -> list[Any]:
    """Return the parts of an index with as many full slices as an ellipsis stands for. Raises MiniskError."""
    for part in parts:
        is_basic = part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
        if isinstance(part, bool) or not is_basic:
            raise MiniskError(f"export_onnx: x[...] with a {type(part).__name__} in the index has no ONNX form here")
    missing = x.ndim - sum(part is not None and part is not Ellipsis for part in parts)
    filled: list[Any] = []
    for part in parts:
        filled += [slice(None)] * missing if part is Ellipsis else [part]
    return filled


def _slice_numbers(axis: int, part: slice) -> tuple[int, int, int, int]:
    """Return start, stop, axis and step of one axis, in the order of the inputs of ONNX's Slice."""
    step = 1 if part.step is None else int(part.step)
    first, last = (0, _LAST) if step > 0 else (_LAST, _FIRST)
    start = first if part.start is None else int(part.start)
    return start, last if part.stop is None else int(part.stop), axis, step


# --- Layers --------------------------------------------------------------------------------------------------


@writes(Conv2d)
def _conv2d(graph: OnnxGraph, x: Tensor, weight: Tensor, bias: Tensor | None, *, geometry: ConvGeometry) -> str:
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return graph.add(
        "Conv",
        *inputs,
        kernel_shape=weight.shape[2:],
        strides=geometry.stride,
        pads=geometry.padding * 2,  # top, left, bottom, right
        dilations=geometry.dilation,
        group=geometry.groups,
    )


@writes(BatchNorm)
def _batch_norm(
    graph: OnnxGraph,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    running: Running,
    training: bool,
    eps: float,
    relu: bool,
) -> str:
    if training:
        raise MiniskError("export_onnx: batch_norm is in training mode; call model.eval() before the export")
    out = graph.add("BatchNormalization", x, weight, bias, running.mean, running.var, epsilon=eps)
    return graph.add("Relu", out) if relu else out


@writes(MaxPool2d)
def _max_pool2d(graph: OnnxGraph, x: Tensor, *, window: PoolWindow) -> str:
    pads = _pads(x, window)
    return graph.add("MaxPool", x, kernel_shape=window.kernel, strides=window.stride, pads=pads)


@writes(AvgPool2d)
def _avg_pool2d(graph: OnnxGraph, x: Tensor, *, window: PoolWindow) -> str:
    return graph.add(
        "AveragePool",
        x,
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=_pads(x, window),
        count_include_pad=int(window.count_padding),
    )


def _pads(x: Tensor, window: PoolWindow) -> Axes:
    """Return the padding at the top, left, bottom and right; at the end, as much as the last window needs.

    So a window in ceil mode needs no ceil mode of ONNX, whose rule for a window in the padding has changed over time.
    """
    ends = []
    for size, count, kernel, stride, start in zip(
        x.shape[2:], window.out, window.kernel, window.stride, window.padding, strict=True
    ):
        ends.append(max(0, (count - 1) * stride + kernel - size - start))
    return (*window.padding, *ends)


@writes(GlobalAvgPool2d)
def _global_avg_pool2d(graph: OnnxGraph, x: Tensor) -> str:
    return graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)


@writes(Resize)
def _resize(graph: OnnxGraph, x: Tensor, *, size: tuple[int, int]) -> str:
    # Resize wants all four sizes, and the first is open.
    sizes = graph.add("Concat", graph.add("Shape", x, start=0, end=2), graph.integers(*size), axis=0)
    return graph.add("Resize", x, None, None, sizes, mode="linear", coordinate_transformation_mode="align_corners")


# --- Channels of images: a scale (N, C) becomes (N, C, 1, 1) -------------------------------------------------


def _scaled(graph: OnnxGraph, scale: Tensor | str, x: Tensor) -> str:
    return graph.add("Mul", graph.add("Unsqueeze", scale, graph.integers(2, 3)), x)


@writes(ChannelScale)
def _channel_scale(graph: OnnxGraph, a: Tensor, x: Tensor) -> str:
    return _scaled(graph, a, x)


@writes(Axpy)
def _axpy(graph: OnnxGraph, a: Tensor, x: Tensor, y: Tensor) -> str:
    return graph.add("Add", _scaled(graph, a, x), y)


@writes(ChannelDot)
def _channel_dot(graph: OnnxGraph, x: Tensor, y: Tensor) -> str:
    return graph.add("ReduceSum", graph.add("Mul", x, y), graph.integers(2, 3), keepdims=0)


@writes(Select)
def _select(graph: OnnxGraph, logits: Tensor, *branches: Tensor) -> tuple[str, str]:
    weights = graph.add("Softmax", logits, axis=1)
    out = ""
    for m, branch in enumerate(branches):
        weighted = _scaled(graph, graph.add("Gather", weights, np.asarray(m, np.int64), axis=1), branch)
        out = weighted if m == 0 else graph.add("Add", out, weighted)
    return out, weights
