"""Tensor: an array, its gradient, and its place in the graph.

A Tensor computed by a recorded operation has an edge to that operation's Node; a Tensor without one is a *leaf*.
The operators and methods at the end of the class call the operations of `minisk.ops`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..backend import Array, device_of, real_array, to_device
from ..backend.dtypes import REAL_DTYPES
from ..errors import DeviceError, DtypeError, GraphError, ShapeError
from . import words

if TYPE_CHECKING:
    from .graph import Node, OutputEdge

Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"
Operand: TypeAlias = "Tensor | Array | float | int | bool | np.generic"
Axis: TypeAlias = int | Sequence[int] | None

# The package `minisk.ops`, once it is imported. It lies above autograd, so autograd can't import it.
_ops: Any = None
_NDARRAY = np.ndarray  # looked up for every Tensor


def attach(operations: Any) -> None:
    """Set the package whose functions Tensor's operators and methods call; `minisk.ops` does it on import."""
    global _ops
    _ops = operations


@dataclass(slots=True, eq=False)
class Version:
    """The number of writes to one piece of memory; shared by all Tensors over that memory."""

    writes: int = 0


def require_like(operation: str, gradient: Any, tensor: Tensor) -> None:
    """Raise ShapeError, DtypeError or DeviceError, naming the operation, unless the gradient fits the Tensor."""
    if not isinstance(gradient, Tensor):
        raise DtypeError(f"{operation}: a {type(gradient).__name__} is no gradient, expected a Tensor")
    for error, name in ((ShapeError, "shape"), (DtypeError, "dtype"), (DeviceError, "device")):
        seen, expected = getattr(gradient, name), getattr(tensor, name)
        if seen != expected:
            raise error(f"{operation}: gradient of {name} {seen} must match the tensor's, {expected}")


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    Attributes:
        data: the NumPy or CuPy array.
        edge: the edge to the Node that computed this Tensor; None for a leaf.
        hooks: of a leaf, the functions to call with its gradient, each under a key of its own; None before the first.
        version: counts the writes to the memory of data.
        untracked: the operation that computed this Tensor under no_grad, for an error of backward to name.
    """

    # The engine reads _requires_grad, because a property takes 0.1 µs.
    __slots__ = ("__weakref__", "_grad", "_requires_grad", "data", "edge", "hooks", "untracked", "version")
    # NumPy then leaves `array + tensor` to Tensor.__radd__.
    __array_ufunc__ = None

    def __init__(self, data: Array, requires_grad: bool = False, version: Version | None = None) -> None:
        """Make a leaf over an array, which is shared, not copied (`ms.tensor` copies).

        Args:
            data: a NumPy or CuPy array of any shape and a real dtype; copied only if not in native byte order.
            requires_grad: record operations on this Tensor; floating dtypes only.
            version: the count of writes to the array's memory, if other Tensors share it.

        Raises:
            DtypeError: if the data is no array of real numbers, or requires_grad and the dtype is not floating.
        """
        if type(data) is not _NDARRAY or data.dtype not in REAL_DTYPES:
            if not hasattr(data, "dtype") or isinstance(data, Tensor):
                raise DtypeError(f"Tensor: expected an array, got a {type(data).__name__}; ms.tensor(data) takes it")
            data = real_array("Tensor", data)
        self.data = data
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True
        self._grad: Tensor | None = None
        self.edge: OutputEdge | None = None
        self.version = version or Version()
        self.hooks: dict[object, Hook] | None = None
        self.untracked: str | None = None

    # Properties

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded. Setting it raises DtypeError unless the dtype is floating."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise DtypeError(f"tensor: only floating dtypes can require gradients, not {self.data.dtype}")
        self._requires_grad = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient; None before a backward reached this leaf. Setting another shape or dtype raises an error."""
        return self._grad

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            require_like("x.grad = value", gradient, self)
        self._grad = gradient

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return words.Count(self.data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """The device of the array: "cpu" or "cuda:INDEX"."""
        return device_of(self.data)

    @property
    def node(self) -> Node | None:
        """The recorded operation that computed this Tensor; None for a leaf."""
        return None if self.edge is None else self.edge.node

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation computed this Tensor."""
        return self.edge is None

    @property
    def T(self) -> Tensor:
        """The Tensor with its axes in reverse order."""
        return _ops.transpose(self)

    # Conversions: none of these is recorded

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the values as a NumPy array: the Tensor's own memory on the CPU, a copy from a GPU."""
        return to_device(self.data, "cpu")

    def item(self) -> Any:
        """Return the only element as a Python number. Raises ShapeError unless there is exactly one."""
        if self.size != 1:
            raise ShapeError(f"item: expected a tensor of one element, got shape {self.shape}")
        return self.data.item()

    def detach(self) -> Tensor:
        """Return a Tensor over the same memory that does not require gradients."""
        return Tensor(self.data, version=self.version)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """Return a DLPack capsule over the memory, for `np.from_dlpack(x)` and others. Raises BufferError.

        options: stream, max_version, dl_device and copy, as the protocol defines them.
        """
        if self.requires_grad:
            raise BufferError("__dlpack__: a tensor that requires gradients can't be exported; take x.detach()")
        if min(self.data.strides, default=0) < 0 and not options.get("copy"):
            strides = f"strides {self.data.strides} bytes"  # PyTorch 2.13 ends the process on them
            raise BufferError(f"__dlpack__: x of {strides} has a negative one; take ms.tensor(x), a copy")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise ShapeError("len: a tensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        """Format the only element, as in `f"{loss:.3f}"`. An empty spec formats a Tensor of any shape."""
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", threshold=50, precision=4, prefix="tensor(")
        where = "" if self.device == "cpu" else f", device={self.device!r}"
        tracked = ", requires_grad=True" if self.requires_grad else ""
        made_by = tracked if self.node is None else f", grad_fn={self.node.operation}"
        return f"tensor({body}, dtype={self.dtype}{where}{made_by})"

    def _repr_html_(self) -> str:
        from ..notebook import tensor_html

        return tensor_html(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy and pickle leaves. Raises GraphError for a Tensor with a graph, which is no part of its value."""
        if self.node is not None:
            made_by = f"this tensor was computed by {self.node.operation!r}, and its graph is not copied"
            raise GraphError(f"deepcopy or pickle: {made_by}; take x.detach(), or set x.grad = None for a gradient")
        return super().__reduce_ex__(protocol)

    # Differentiation

    def backward(
        self, grad: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf it was computed from.

        Args:
            grad: the gradient to start from, in this Tensor's shape and dtype; default 1, for a single element.
            retain_graph: keep the graph for another backward (default: as create_graph).
            create_graph: record the computation of the gradients, so that they can be differentiated in turn.

        Raises:
            GraphError: if there is no graph, it was freed, or an array it saved was overwritten.
            ShapeError: if grad does not fit, or is missing for more than one element.
        """
        from .engine import backward

        backward(self, grad, retain_graph, create_graph)

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call hook(gradient) once this Tensor's gradient is complete.

        Args:
            hook: gets a Tensor of this shape and dtype; if it returns one, that replaces the gradient. `.grad`, also
                that of retain_grad, is the gradient after all hooks.

        Returns:
            A function that removes the hook; a second call does nothing.

        Raises:
            GraphError: if this Tensor does not require gradients.
        """
        if not self.requires_grad:
            raise GraphError("register_hook: this tensor does not require gradients")
        if self.edge is not None:
            hooks = self.edge.node.hooks.setdefault(self.edge.index, {})
        else:
            hooks = self.hooks = self.hooks or {}
        key = object()  # one function may be registered twice
        hooks[key] = hook

        def remove() -> None:
            hooks.pop(key, None)

        return remove

    def retain_grad(self) -> None:
        """Add the gradient of this Tensor to `.grad` although it is not a leaf. A second call changes nothing.

        Raises:
            GraphError: if this Tensor does not require gradients.
        """
        if not self.requires_grad:
            raise GraphError("retain_grad: this tensor does not require gradients")
        if self.edge is not None:
            # Weak: the graph must not keep its own results alive.
            self.edge.node.retained[self.edge.index] = weakref.ref(self)

    def mark_written(self) -> None:
        """Count a write to the memory, so that a backward which saved it raises an error."""
        self.version.writes += 1

    # Arithmetic: element by element, broadcast; ShapeError and DtypeError as in minisk.ops

    def __add__(self, other: Operand) -> Tensor:
        return _ops.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return _ops.add(other, self)

    def __iadd__(self, other: Operand) -> Tensor:
        return _ops.indexing.in_place("+=", self, other)

    def __sub__(self, other: Operand) -> Tensor:
        return _ops.sub(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return _ops.sub(other, self)

    def __isub__(self, other: Operand) -> Tensor:
        return _ops.indexing.in_place("-=", self, other)

    def __mul__(self, other: Operand) -> Tensor:
        return _ops.mul(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return _ops.mul(other, self)

    def __imul__(self, other: Operand) -> Tensor:
        return _ops.indexing.in_place("*=", self, other)

    def __truediv__(self, other: Operand) -> Tensor:
        return _ops.div(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _ops.div(other, self)

    def __itruediv__(self, other: Operand) -> Tensor:
        return _ops.indexing.in_place("/=", self, other)

    def __matmul__(self, other: Operand) -> Tensor:
        return _ops.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return _ops.matmul(other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return _ops.pow(self, exponent)

    def __rpow__(self, base: float) -> Tensor:
        return _ops.arithmetic.rpow(self, base)

    def __neg__(self) -> Tensor:
        return _ops.neg(self)

    def __abs__(self) -> Tensor:
        return _ops.abs(self)

    # Comparisons: bool Tensors without a gradient

    # Tensors compare element by element, yet serve as dictionary keys by identity.
    __hash__ = object.__hash__

    def __eq__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _ops.equal(self, other)

    def __ne__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return _ops.not_equal(self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return _ops.less(self, other)

    def __le__(self, other: Operand) -> Tensor:
        return _ops.less_equal(self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return _ops.greater(self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return _ops.greater_equal(self, other)

    # Masks: bool Tensors

    def __and__(self, other: Operand) -> Tensor:
        return _ops.logical_and(self, other)

    def __or__(self, other: Operand) -> Tensor:
        return _ops.logical_or(self, other)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Tensor:
        return _ops.logical_not(self)

    # Indexing

    def __getitem__(self, index: Any) -> Tensor:
        return _ops.get_item(self, index)

    def __setitem__(self, index: Any, value: Operand) -> None:
        _ops.set_item(self, index, value)

    # Functions of each element: the result has this shape

    def abs(self) -> Tensor:
        """Return |x|. See `ops.abs`."""
        return _ops.abs(self)

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Return x limited to [min, max]. See `ops.clip`."""
        return _ops.clip(self, min, max)

    def exp(self) -> Tensor:
        """Return eˣ. See `ops.exp`."""
        return _ops.exp(self)

    def log(self) -> Tensor:
        """Return the natural logarithm. See `ops.log`."""
        return _ops.log(self)

    def relu(self) -> Tensor:
        """Return max(x, 0). See `ops.relu`."""
        return _ops.relu(self)

    def sigmoid(self) -> Tensor:
        """Return 1 / (1 + e⁻ˣ). See `ops.sigmoid`."""
        return _ops.sigmoid(self)

    def sqrt(self) -> Tensor:
        """Return the square root. See `ops.sqrt`."""
        return _ops.sqrt(self)

    def tanh(self) -> Tensor:
        """Return the hyperbolic tangent. See `ops.tanh`."""
        return _ops.tanh(self)

    @words.numpy_words
    def softmax(self, axis: int = -1) -> Tensor:
        """Return eˣ / Σ eˣ along an axis. See `ops.softmax`."""
        return _ops.softmax(self, axis)

    @words.numpy_words
    def log_softmax(self, axis: int = -1) -> Tensor:
        """Return log(softmax(x)) along an axis. See `ops.log_softmax`."""
        return _ops.log_softmax(self, axis)

    # Reductions: over one axis, several, or all (None); keepdims leaves them in the shape with size 1

    @words.numpy_words
    def argmax(self, axis: int | None = None) -> Tensor:
        """Return the int64 index of the first largest value. See `ops.argmax`."""
        return _ops.argmax(self, axis)

    @words.numpy_words
    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the largest values. See `ops.max`."""
        return _ops.max(self, axis, keepdims)

    @words.numpy_words
    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the mean. See `ops.mean`."""
        return _ops.mean(self, axis, keepdims)

    @words.numpy_words
    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the smallest values. See `ops.min`."""
        return _ops.min(self, axis, keepdims)

    @words.numpy_words
    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the sum. See `ops.sum`."""
        return _ops.sum(self, axis, keepdims)

    @words.numpy_words
    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Return the variance, Σ (x - mean)² / (count - ddof). See `ops.var`."""
        return _ops.var(self, axis, ddof, keepdims)

    # Shape, dtype and device

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """Return x repeated along new axes and axes of size 1, in this shape. See `ops.broadcast_to`."""
        return _ops.broadcast_to(self, shape)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Return x in another shape of equal size; one axis may be -1. See `ops.reshape`."""
        return _ops.reshape(self, *shape)

    def flatten(self) -> Tensor:
        """Return x in the shape (size,)."""
        return _ops.reshape(self, -1)

    @words.numpy_words
    def squeeze(self, axis: int | None = None) -> Tensor:
        """Return x without this axis of size 1, or without all such axes. See `ops.squeeze`."""
        return _ops.squeeze(self, axis)

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """Return x with its axes in this order; by default reversed. See `ops.transpose`."""
        return _ops.transpose(self, *axes)

    def to(self, device: str | DTypeLike | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """Return x on another device or in another dtype, in its shape. See `ops.to`."""
        return _ops.to(self, device, dtype)


for _name, _instead in words.METHODS.items():
    setattr(Tensor, _name, words.LeftOut(_name, _instead))
