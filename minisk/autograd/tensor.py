"""Tensor: an array, its gradient, and its place in the graph.

A Tensor knows which `Node` computed it (`node`, and the `index` among that node's outputs); a Tensor that nothing
computed is a *leaf*. How nodes are recorded and differentiated is told in `autograd`; operators and methods such as
`+` and `.sum()` are attached by `minisk.ops`, a floor above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..backend import DEFAULT_FLOAT, Array, device_of, to_device
from ..errors import DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from .function import Node

Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"
Operand: TypeAlias = "Tensor | Array | float | int | bool | np.generic"
Axis: TypeAlias = int | Sequence[int] | None


class Version:
    """Counts the writes to one piece of memory; shared by every Tensor that looks at it."""

    __slots__ = ("writes",)

    def __init__(self) -> None:
        self.writes = 0


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    data: a NumPy or CuPy array, shared, not copied (`ms.tensor` copies).
    requires_grad: record what is computed from this Tensor; floating dtypes only, else DtypeError.
    """

    __slots__ = ("__weakref__", "data", "grad", "hooks", "index", "node", "requires_grad", "untracked", "version")
    # NumPy then leaves `array + tensor` to Tensor.__radd__.
    __array_ufunc__ = None

    def __init__(self, data: Array, requires_grad: bool = False, version: Version | None = None) -> None:
        if requires_grad and data.dtype.kind != "f":
            raise DtypeError(f"tensor: only floating dtypes can require gradients, not {data.dtype}")
        self.data = data
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None
        self.index = 0
        self.version = version or Version()
        self.hooks: list[Hook] = []
        # Name of the operation whose graph was dropped under no_grad: backward's error can then say so.
        self.untracked: str | None = None

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the array lives: "cpu" or "cuda:INDEX"."""
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation computed this Tensor."""
        return self.node is None

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

    # Tensors compare element by element (==), yet serve as dictionary keys by identity.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", threshold=50, precision=4, prefix="tensor(")
        where = "" if self.device == "cpu" else f", device={self.device!r}"
        tracked = ", requires_grad=True" if self.requires_grad else ""
        made_by = f", grad_fn={self.node.operation}" if self.node else tracked
        return f"tensor({body}, dtype={self.dtype}{where}{made_by})"

    # Out of the graph

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the values as a NumPy array: the Tensor's own memory on the CPU, a copy from a GPU."""
        return to_device(self.data, "cpu")

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """Return the one value as a Python number. Raises ShapeError if there are more."""
        if self.size != 1:
            raise ShapeError(f"item: expected a tensor of one element, got shape {self.shape}")
        return self.data.item()

    def detach(self) -> Tensor:
        """Return a Tensor over the same memory that does not require gradients."""
        return Tensor(self.data, version=self.version)

    # Differentiation

    def backward(
        self, grad: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf it was computed from.

        grad: the gradient of something with respect to this Tensor, in its shape; 1 for a single element.
        retain_graph: keep the graph for another backward (default: as create_graph).
        create_graph: record the gradient's own computation, so that it can be differentiated in turn.
        Raises GraphError if there is no graph, or it has been freed, or what it saved was overwritten.
        """
        from .engine import accumulate_gradients

        accumulate_gradients(self, grad, retain_graph, create_graph)

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call hook(gradient) once this Tensor's gradient is known; what it returns, if anything, replaces it.

        Returns a function that removes the hook.
        """
        if not self.requires_grad:
            raise GraphError("register_hook: this tensor does not require gradients")
        hooks = self.hooks if self.node is None else self.node.hooks.setdefault(self.index, [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this Tensor in `.grad` although it is not a leaf."""
        if self.node is not None:
            self.node.retain_grad(self)

    def mark_written(self) -> None:
        """Note that the memory was written to, so that a backward which saved it can tell."""
        self.version.writes += 1

    # Operators and methods that minisk.ops attaches; declared here for readers and for type checkers.
    if TYPE_CHECKING:

        def __add__(self, other: Operand) -> Tensor: ...

        __radd__ = __iadd__ = __sub__ = __rsub__ = __isub__ = __mul__ = __rmul__ = __imul__ = __add__
        __truediv__ = __rtruediv__ = __itruediv__ = __matmul__ = __rmatmul__ = __add__

        def __pow__(self, exponent: float) -> Tensor: ...
        def __rpow__(self, base: float) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __eq__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Operand) -> Tensor: ...

        __ne__ = __le__ = __gt__ = __ge__ = __lt__  # type: ignore[assignment]

        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Operand) -> None: ...
        def abs(self) -> Tensor: ...

        exp = log = relu = sigmoid = sqrt = tanh = abs

        def argmax(self, axis: int | None = None) -> Tensor: ...
        def broadcast_to(self, shape: Sequence[int]) -> Tensor: ...
        def clip(self, min: float | None = None, max: float | None = None) -> Tensor: ...
        def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...

        mean = min = sum = max

        def reshape(self, *shape: int | Sequence[int]) -> Tensor: ...
        def to(self, device: str | None = None, dtype: DTypeLike | None = None) -> Tensor: ...
        def transpose(self, *axes: int) -> Tensor: ...
        def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...


def tensor(data: Any, requires_grad: bool = False, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Make a leaf Tensor from numbers, nested lists, an array or a Tensor; the values are copied.

    dtype: default: an array keeps its own; Python floats become float32, ints int64, bools bool.
    device: "cpu", "cuda" or "cuda:1"; default: where the data is. Raises DtypeError, DeviceError.
    """
    source = data.data if isinstance(data, Tensor) else data
    keeps_dtype = hasattr(source, "dtype")
    array = source.copy() if hasattr(source, "get") else np.array(source)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"tensor: expected numbers of a real dtype, got {array.dtype}")
    if dtype is None and not keeps_dtype and array.dtype.kind == "f":
        dtype = DEFAULT_FLOAT
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    return Tensor(array if device is None else to_device(array, device), requires_grad)
