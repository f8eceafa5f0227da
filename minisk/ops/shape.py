"""Operations that move values without changing them; each one's gradient moves back.

reshape, transpose, broadcast_to and its adjoint sum_to, expand_dims, pad, concatenate, stack, split, cast, to.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels
from ..autograd.function import Function
from ..autograd.tensor import Tensor
from ..backend import Array, array_module, device_of, parse_device, to_device
from ..errors import DtypeError, ShapeError


class Reshape(Function):
    def forward(ctx, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return x.reshape(shape)

    def backward(ctx, dout: Tensor) -> Tensor:
        return reshape(dout, ctx.shape)


def reshape(x: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """Return x in another shape; one size may be -1. Raises ShapeError."""
    sizes = _as_tuple(shape)
    try:
        return Reshape.apply(x, shape=sizes)
    except ValueError:
        raise ShapeError(f"reshape: {x.shape} does not fit into {sizes}") from None


class Transpose(Function):
    def forward(ctx, x: Array, *, axes: tuple[int, ...]) -> Array:
        ctx.axes = axes
        return x.transpose(axes)

    def backward(ctx, dout: Tensor) -> Tensor:
        return transpose(dout, *map(ctx.axes.index, range(len(ctx.axes))))


def transpose(x: Tensor, *axes: int | Sequence[int]) -> Tensor:
    """Return x with its axes in the given order; with none given, reversed. Raises ShapeError."""
    order = _as_tuple(axes) if axes else tuple(reversed(range(x.ndim)))
    positive = tuple(a + x.ndim if a < 0 else a for a in order)
    if sorted(positive) != list(range(x.ndim)):
        raise ShapeError(f"transpose: {order} is not an order of the axes of {x.shape}")
    return Transpose.apply(x, axes=positive)


def _as_tuple(sizes: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Take both spellings, f(x, 2, 3) and f(x, (2, 3))."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(sizes[0])
    return tuple(int(size) for size in sizes)  # type: ignore[arg-type]


class BroadcastTo(Function):
    def forward(ctx, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return array_module(x).broadcast_to(x, shape)

    def backward(ctx, dout: Tensor) -> Tensor:
        return sum_to(dout, ctx.shape)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x repeated along new and one-sized axes until it has the shape. Raises ShapeError."""
    sizes = tuple(shape)
    if x.shape == sizes:
        return x
    try:
        return BroadcastTo.apply(x, shape=sizes)
    except ValueError:
        raise ShapeError(f"broadcast_to: {x.shape} does not broadcast to {sizes}") from None


class SumTo(Function):
    """The adjoint of broadcast_to: what was repeated is summed."""

    def forward(ctx, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        added = x.ndim - len(shape)
        stretched = tuple(added + i for i, size in enumerate(shape) if size == 1 and x.shape[added + i] != 1)
        return kernels.total(x, tuple(range(added)) + stretched, keepdims=True).reshape(shape)

    def backward(ctx, dout: Tensor) -> Tensor:
        return broadcast_to(dout, ctx.shape)


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum x over the axes along which a Tensor of this shape was broadcast: every broadcast's way back."""
    target = tuple(shape)
    if x.shape == target:
        return x
    trailing = x.shape[x.ndim - len(target) :]
    if len(target) > x.ndim or any(size not in (1, own) for size, own in zip(target, trailing, strict=True)):
        raise ShapeError(f"sum_to: {x.shape} is not what {target} broadcasts to")
    return SumTo.apply(x, shape=target)


def broadcast_shape(operation: str, *tensors: Tensor) -> tuple[int, ...]:
    """Return the common shape of the Tensors. Raises ShapeError naming the operation."""
    shapes = [x.shape for x in tensors]
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{operation}: shapes {' and '.join(map(str, shapes))} do not broadcast") from None


def position_of(operation: str, axis: int, shape: tuple[int, ...], count: int) -> int:
    """Return an axis, out of so many, as a number from 0."""
    if not -count <= axis < count:
        raise ShapeError(f"{operation}: axis {axis} is out of range for shape {shape}")
    return axis % count


def expand_dims(x: Tensor, axis: int) -> Tensor:
    """Return x with a new axis of size one at this position of the result. Raises ShapeError."""
    position = position_of("expand_dims", axis, x.shape, x.ndim + 1)
    return reshape(x, (*x.shape[:position], 1, *x.shape[position:]))


def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    """Return x without this axis of size one, or without all such axes. Raises ShapeError."""
    if axis is None:
        return reshape(x, tuple(size for size in x.shape if size != 1))
    if not -x.ndim <= axis < x.ndim or x.shape[axis] != 1:
        raise ShapeError(f"squeeze: axis {axis} of {x.shape} is not an axis of size 1")
    position = axis % x.ndim
    return reshape(x, x.shape[:position] + x.shape[position + 1 :])


class Pad(Function):
    def forward(ctx, x: Array, *, pad_width: tuple[tuple[int, int], ...]) -> Array:
        ctx.window = tuple(slice(before, before + size) for (before, _), size in zip(pad_width, x.shape, strict=True))
        return array_module(x).pad(x, pad_width)

    def backward(ctx, dout: Tensor) -> Tensor:
        return dout[ctx.window]


def pad(x: Tensor, pad_width: int | Sequence[Any]) -> Tensor:
    """Surround x with zeros.

    pad_width: as numpy.pad's: one number, one pair (before, after) for all axes, or a pair for each. Raises ShapeError.
    """
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    except ValueError:
        raise ShapeError(f"pad: pad_width {pad_width} does not fit the {x.ndim} axes of {x.shape}") from None
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ShapeError(f"pad: pad_width {pad_width} must hold integers of at least 0")
    return Pad.apply(x, pad_width=tuple((int(a), int(b)) for a, b in pairs))


class Concatenate(Function):
    def forward(ctx, *arrays: Array, axis: int) -> Array:
        ctx.axis = axis
        ctx.ends = [int(end) for end in np.cumsum([array.shape[axis] for array in arrays])[:-1]]
        return array_module(arrays[0]).concatenate(arrays, axis=axis)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, ...]:
        return tuple(split(dout, ctx.ends, ctx.axis))


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join Tensors of one dtype along an existing axis. Raises ShapeError, DtypeError."""
    shapes = [x.shape for x in tensors]
    if not tensors or not -tensors[0].ndim <= axis < tensors[0].ndim:
        raise ShapeError(f"concatenate: axis {axis} of shapes {shapes}")
    _require_one_dtype("concatenate", tensors)
    position = axis % tensors[0].ndim
    if len({(len(s), s[:position], s[position + 1 :]) for s in shapes}) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ outside axis {axis}")
    return Concatenate.apply(*tensors, axis=position)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join Tensors of one shape and dtype along a new axis. Raises ShapeError, DtypeError."""
    if len({x.shape for x in tensors}) != 1:
        raise ShapeError(f"stack: shapes {[x.shape for x in tensors]} must be equal")
    position = position_of("stack", axis, tensors[0].shape, tensors[0].ndim + 1)
    _require_one_dtype("stack", tensors)
    return concatenate([expand_dims(x, position) for x in tensors], position)


def _require_one_dtype(operation: str, tensors: Sequence[Tensor]) -> None:
    if len({x.dtype for x in tensors}) > 1:
        raise DtypeError(f"{operation}: dtypes {', '.join(str(x.dtype) for x in tensors)} differ")


def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut x along an axis into that many equal parts, or at these indices (as numpy.split). Raises ShapeError."""
    position = position_of("split", axis, x.shape, x.ndim)
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


class Cast(Function):
    def forward(ctx, x: Array, *, dtype: np.dtype[Any]) -> Array:
        ctx.dtype = x.dtype
        return x.astype(dtype)

    def backward(ctx, dout: Tensor) -> Tensor:
        return cast(dout, ctx.dtype)


def cast(x: Tensor, dtype: DTypeLike) -> Tensor:
    """Return x in another dtype; the same Tensor if it has it already. Gradients flow between floating dtypes."""
    try:
        target = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"cast: {dtype!r} is not a dtype") from None
    if target.kind not in "fiub":
        raise DtypeError(f"cast: {target} is not a real number's dtype")
    return x if x.dtype == target else Cast.apply(x, dtype=target)


class ToDevice(Function):
    def forward(ctx, x: Array, *, device: str) -> Array:
        ctx.device = device_of(x)
        return to_device(x, device)

    def backward(ctx, dout: Tensor) -> Tensor:
        return to(dout, ctx.device)


def to(x: Tensor, device: str | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return x on another device or in another dtype; the same Tensor if nothing changes. Raises DeviceError."""
    if device is not None:
        kind, index = parse_device(device)
        name = kind if kind == "cpu" else f"{kind}:{index}"
        x = x if x.device == name else ToDevice.apply(x, device=name)
    return x if dtype is None else cast(x, dtype)
