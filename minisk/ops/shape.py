"""Operations that move values without changing them; each gradient moves back.

reshape, transpose, expand_dims, squeeze, broadcast_to and its adjoint sum_to, pad, concatenate, stack, split, to.
Also helpers that all operations use: broadcasting of operands, and the positions of axes.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels
from ..autograd import Axis, Context, Function, Operand, Tensor
from ..autograd.words import numpy_words
from ..backend import Array, array_module, device_of, full_device_name, to_device
from ..errors import ShapeError
from .dtypes import cast, operands, require_one_dtype


class Reshape(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return reshape(dout, ctx.shape)


def reshape(x: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """Return x in another shape of equal size, given as `2, 3` or `(2, 3)`; one axis may be -1. Raises ShapeError."""
    sizes = as_sizes("reshape", shape)
    try:
        return Reshape.apply(x, shape=sizes)
    except ValueError:
        raise ShapeError(f"reshape: {x.shape} does not fit into {sizes}") from None


class Transpose(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, axes: tuple[int, ...]) -> Array:
        ctx.axes = axes
        return x.transpose(axes)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        inverse = [ctx.axes.index(axis) for axis in range(len(ctx.axes))]
        return transpose(dout, inverse)


def transpose(x: Tensor, *axes: int | Sequence[int]) -> Tensor:
    """Return x, of any shape, with its axes in the given order; with none given, reversed. Raises ShapeError."""
    order = as_sizes("transpose", axes) if axes else tuple(reversed(range(x.ndim)))
    positive = tuple(a + x.ndim if a < 0 else a for a in order)
    if sorted(positive) != list(range(x.ndim)):
        raise ShapeError(f"transpose: {order} is not an order of the axes of {x.shape}")
    return Transpose.apply(x, axes=positive)


def as_sizes(operation: str, sizes: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Return the sizes (or axes) of a call such as `f(x, 2, 3)` or `f(x, (2, 3))`.

    Raises ShapeError, naming the operation, unless all are integers.
    """
    given: Sequence[Any] = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes
    try:
        return tuple(index(size) for size in given)
    except TypeError:
        raise ShapeError(f"{operation}: expected integers, got {given!r}") from None


class BroadcastTo(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return array_module(x).broadcast_to(x, shape)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return sum_to(dout, ctx.shape)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x repeated along new axes and axes of size 1, in the given shape. Raises ShapeError."""
    sizes = tuple(shape)
    if x.shape == sizes:
        return x
    try:
        return BroadcastTo.apply(x, shape=sizes)
    except ValueError:
        raise ShapeError(f"broadcast_to: {x.shape} does not broadcast to {sizes}") from None


class SumTo(Function):
    """The adjoint of broadcast_to: sums over the axes that were repeated."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        added = x.ndim - len(shape)
        stretched = tuple(added + i for i, size in enumerate(shape) if size == 1 and x.shape[added + i] != 1)
        return kernels.total(x, tuple(range(added)) + stretched, keepdims=True).reshape(shape)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return broadcast_to(dout, ctx.shape)


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x summed over the axes that broadcasting from the given shape would repeat: the adjoint of broadcast_to.

    Raises ShapeError unless the shape broadcasts to that of x.
    """
    target = tuple(shape)
    if x.shape == target:
        return x
    trailing = x.shape[x.ndim - len(target) :]
    if len(target) > x.ndim or any(size not in (1, own) for size, own in zip(target, trailing, strict=True)):
        raise ShapeError(f"sum_to: {target} does not broadcast to {x.shape}")
    return SumTo.apply(x, shape=target)


def broadcast_shape(operation: str, *tensors: Tensor) -> tuple[int, ...]:
    """Return the common shape of the Tensors. Raises ShapeError naming the operation."""
    shapes = [x.data.shape for x in tensors]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{operation}: shapes {' and '.join(map(str, shapes))} do not broadcast") from None


def broadcast_operands(operation: str, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    """Return a and b as Tensors of one dtype, after a check that their shapes broadcast.

    Args:
        operation: the name for an error.
        a, b: Tensors, arrays or numbers.

    Raises:
        ShapeError, DtypeError.
    """
    x, y = operands(operation, a, b)
    if x.data.shape != y.data.shape:
        broadcast_shape(operation, x, y)
    return x, y


def axis_position(operation: str, axis: int, shape: tuple[int, ...], count: int) -> int:
    """Return the axis as a position in [0, count). Raises ShapeError, naming operation, axis and shape."""
    if not -count <= axis < count:
        raise ShapeError(f"{operation}: axis {axis} is out of range for shape {shape}")
    return axis % count


def normalize_axes(operation: str, axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a shape as sorted positions.

    Args:
        operation: the name for an error.
        axis: one axis, several, or None for all; negative ones count from the end.

    Raises:
        ShapeError: if an axis is out of range or named twice.
    """
    if axis is None:
        return tuple(range(len(shape)))
    try:
        axes = [index(a) for a in ([axis] if isinstance(axis, int | np.integer) else axis)]
    except TypeError:
        raise ShapeError(f"{operation}: axis {axis!r} is no integer, nor several") from None
    positions = sorted(axis_position(operation, a, shape, len(shape)) for a in axes)
    if len(set(positions)) < len(positions):
        raise ShapeError(f"{operation}: axis {axis} names an axis of {shape} twice")
    return tuple(positions)


@numpy_words
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """Return x with a new axis of size 1 at this position of the result. Raises ShapeError."""
    position = axis_position("expand_dims", axis, x.shape, x.ndim + 1)
    return reshape(x, (*x.shape[:position], 1, *x.shape[position:]))


@numpy_words
def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    """Return x without this axis of size 1, or without all such axes. Raises ShapeError."""
    if axis is None:
        return reshape(x, tuple(size for size in x.shape if size != 1))
    if not -x.ndim <= axis < x.ndim or x.shape[axis] != 1:
        raise ShapeError(f"squeeze: axis {axis} of {x.shape} is not an axis of size 1")
    position = axis % x.ndim
    return reshape(x, x.shape[:position] + x.shape[position + 1 :])


class Pad(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, pad_width: tuple[tuple[int, int], ...]) -> Array:
        ctx.window = tuple(slice(before, before + size) for (before, _), size in zip(pad_width, x.shape, strict=True))
        return array_module(x).pad(x, pad_width) if pad_width else x.copy()  # NumPy's pad refuses no axes

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return dout[ctx.window]


def pad(x: Tensor, pad_width: int | Sequence[Any]) -> Tensor:
    """Return x with zeros around it.

    Args:
        x: any shape.
        pad_width: how many zeros: one number, one pair (before, after) for all axes, or a pair for each axis.

    Returns:
        A Tensor whose axis of size s has size before + s + after.

    Raises:
        ShapeError: if pad_width does not fit, or is negative.
    """
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    except ValueError:
        raise ShapeError(f"pad: pad_width {pad_width} does not fit the {x.ndim} axes of {x.shape}") from None
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ShapeError(f"pad: pad_width {pad_width} must hold integers of at least 0")
    return Pad.apply(x, pad_width=tuple((int(a), int(b)) for a, b in pairs))


class Concatenate(Function):
    @staticmethod
    def forward(ctx: Context, *arrays: Array, axis: int) -> Array:
        ctx.axis = axis
        ctx.ends = [int(end) for end in np.cumsum([array.shape[axis] for array in arrays])[:-1]]
        return array_module(arrays[0]).concatenate(arrays, axis=axis)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, ...]:
        return tuple(split(dout, ctx.ends, ctx.axis))


@numpy_words
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return the Tensors joined along an existing axis. Raises ShapeError, DtypeError.

    tensors: at least one, of one dtype, whose shapes differ along the axis at most.
    """
    require_one_dtype("concatenate", tensors)
    shapes = [x.shape for x in tensors]
    if not tensors or not -tensors[0].ndim <= axis < tensors[0].ndim:
        raise ShapeError(f"concatenate: axis {axis} of shapes {shapes}")
    position = axis % tensors[0].ndim
    if len({(len(s), s[:position], s[position + 1 :]) for s in shapes}) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ outside axis {axis}")
    return Concatenate.apply(*tensors, axis=position)


@numpy_words
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return the Tensors joined along a new axis of the result. Raises ShapeError, DtypeError.

    tensors: at least one, of one shape and dtype.
    """
    require_one_dtype("stack", tensors)
    if len({x.shape for x in tensors}) != 1:
        raise ShapeError(f"stack: shapes {[x.shape for x in tensors]} must be equal")
    position = axis_position("stack", axis, tensors[0].shape, tensors[0].ndim + 1)
    return concatenate([expand_dims(x, position) for x in tensors], position)


@numpy_words
def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Return the parts of x along an axis, as numpy.split.

    Args:
        x: any shape.
        indices_or_sections: the number of equal parts, or the indices at which the parts after the first begin.
        axis: the axis to cut.

    Raises:
        ShapeError: if the axis is out of range or does not divide into equal parts.
    """
    position = axis_position("split", axis, x.shape, x.ndim)
    size = x.shape[position]
    if isinstance(indices_or_sections, int | np.integer):
        sections = int(indices_or_sections)
        if sections < 1 or size % sections:
            raise ShapeError(f"split: axis {axis} of {x.shape} does not divide into {sections} equal parts")
        cuts = [size // sections * i for i in range(1, sections)]
    else:
        cuts = [int(cut) for cut in indices_or_sections]
    before = (slice(None),) * position
    return [x[(*before, slice(start, stop))] for start, stop in zip([0, *cuts], [*cuts, size], strict=True)]


class ToDevice(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, device: str) -> Array:
        ctx.device = device_of(x)
        return to_device(x, device)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return to(dout, ctx.device)


def to(x: Tensor, device: str | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return x on another device or in another dtype, in its shape; x itself if nothing changes.

    Args:
        x: any shape.
        device: "cpu", "cuda" or "cuda:1"; None: the device of x. A dtype is taken for what it is: `to(x, "float16")`.
        dtype: a floating, integer or bool dtype or its name; None: that of x.

    Raises:
        DeviceError, DtypeError.
    """
    if device is not None and _is_dtype(device):
        device, dtype = None, device if dtype is None else dtype
    if device is not None:
        name = full_device_name(device)
        x = x if x.device == name else ToDevice.apply(x, device=name)
    return x if dtype is None else cast(x, dtype)


def _is_dtype(value: Any) -> bool:
    try:
        np.dtype(value)
    except TypeError:
        return False
    return True


Size = int | Sequence[int]  # of two axes: one number, or (height, width)


def pair(operation: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """Return (height, width) from one number or two. Raises ShapeError if either is below `least`.

    Args:
        operation, name: of the argument, for an error.
        value: one integer, or a sequence of two.
    """
    if type(value) is tuple and list(map(type, value)) == [int, int] and min(value) >= least:
        return value  # as a layer gives it, at every call
    is_one = not isinstance(value, Sequence) and getattr(value, "ndim", 0) == 0
    given = (value, value) if is_one else value
    try:
        height, width = (index(size) for size in given)
    except (TypeError, ValueError):
        height = width = least - 1
    if min(height, width) < least:
        raise ShapeError(f"{operation}: {name} {value!r} must be one or two integers of at least {least}")
    return height, width
