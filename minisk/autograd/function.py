"""The record: what one call of an operation leaves behind (`Node`), and what an operation is (`Function`).

`Function.apply` runs `forward` on arrays; if an input requires a gradient it leaves a Node, which points at the nodes
that computed its inputs and keeps what `backward` will need. `autograd` walks these nodes back. The operation is the
node's class: each call makes an instance of it.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import os
import re
import sys
import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import kernels
from ..backend import Array, array_module, storage, to_device
from ..errors import DeviceError, DtypeError, GraphError, NotFiniteError, OverwrittenError, SavedValueError, ShapeError
from .tensor import Hook, Tensor

Slot: TypeAlias = tuple[int, int]


class _Modes(threading.local):
    grad = True
    anomaly = False


_modes = _Modes()
_births = itertools.count()
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def is_grad_enabled() -> bool:
    """Whether operations on Tensors that require gradients are being recorded."""
    return _modes.grad


@contextlib.contextmanager
def switch_mode(name: str, value: bool) -> Iterator[None]:
    before = getattr(_modes, name)
    setattr(_modes, name, value)
    try:
        yield
    finally:
        setattr(_modes, name, before)


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Record nothing inside: `with ms.no_grad(): ...`."""
    return switch_mode("grad", False)


def detect_anomaly() -> contextlib.AbstractContextManager[None]:
    """Find where a gradient turns NaN or infinite, and arrays that were written to although another reads them.

    These are arrays saved for backward, and the gradient that a backward is handed. Inside, every operation notes the
    user's line that called it, and backward raises AnomalyError naming both.
    Slow: run forward and backward inside only while looking for a mistake.
    """
    return switch_mode("anomaly", True)


class _Saved:
    """One array saved for backward: what it is to the operation, and how it looked when it was saved."""

    __slots__ = ("array", "checksum", "edge", "origin", "version", "writes")

    def __init__(self, array: Any, origin: str | int, owner: Tensor | None, edge: Edge | None) -> None:
        """origin: "input" or "intermediate"; or an output's index, since the node must not own itself."""
        # NumPy returns 0-d results as scalars; the Tensor holds an array of it.
        self.array = array if owner is None else owner.data
        self.origin, self.edge = origin, edge
        self.version = None if owner is None else owner.version
        self.writes = 0 if owner is None else owner.version.writes
        self.checksum = _checksum(self.array) if _modes.anomaly else None

    def unpack(self, node: Node, position: int) -> Tensor:
        """Return the array as a Tensor in its place in the graph. Raises GraphError if it is no longer what it was."""
        what = f"backward of {node.operation!r}: saved array {position} of shape {self.array.shape}"
        if self.version is not None and self.version.writes != self.writes:
            advice = "change a copy instead, or call backward first"
            raise SavedValueError(f"{what} was changed in place after the operation ran; {advice}")
        if self.checksum is not None and self.checksum != _checksum(self.array):
            raise SavedValueError(f"{what} was written to through .data or .numpy() after the operation ran")
        if self.origin == "intermediate" and _modes.grad and self.array.dtype.kind == "f":
            advice = "compute it from inputs in backward, or set it as an attribute of ctx if it is a constant"
            missed = "so a second derivative would miss how it depends on them"
            raise GraphError(f"{what} is neither input nor output, {missed}; {advice}")
        if isinstance(self.edge, Tensor):
            return self.edge
        tensor = Tensor(self.array, version=self.version)
        edge = (node, self.origin) if isinstance(self.origin, int) else self.edge
        if edge is not None and self.array.dtype.kind == "f":
            tensor.node, tensor.index = edge
            tensor.requires_grad = True
        return tensor


class Node:
    """One recorded call of an operation; `ctx` in forward and backward.

    Attributes set on it in forward (`ctx.axis = axis`) are kept for backward, and are constants to any derivative.
    needs_input_grad: for each input, whether its gradient will be used; backward may return None for the others.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "birth",
        "edges",
        "freed",
        "hooks",
        "inputs",
        "needs_input_grad",
        "outputs",
        "saved",
        "site",
        "to_save",
    )

    if TYPE_CHECKING:  # whatever forward leaves here

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    operation = "function"

    def __init__(self) -> None:
        self.to_save: tuple[Any, ...] = ()
        self.saved: tuple[_Saved, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.freed = False
        self.hooks: dict[int, list[Hook]] = {}

    def backward(ctx, *gradients: Any) -> Any:
        """Compute the gradient of each input, as a Tensor or None, from the gradient of each output."""
        raise NotImplementedError

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep inputs and outputs of forward for backward, guarded against being overwritten meanwhile."""
        self.to_save = arrays

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What forward saved, as Tensors connected to the graph. Raises GraphError if one was overwritten or freed."""
        return tuple(saved.unpack(self, i) for i, saved in enumerate(self.saved))

    def record(
        self, inputs: Sequence[Any], arrays: Sequence[Any], returned: Sequence[Any], outputs: Sequence[Tensor]
    ) -> None:
        """Take the place in the graph between inputs and outputs; forward was given `arrays`, and `returned` this."""
        self.birth = next(_births)
        self.edges = tuple([edge_of(x) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs])
        self.inputs: tuple[Any, ...] = tuple([(a.shape, a.dtype) if hasattr(a, "dtype") else () for a in arrays])
        self.outputs = tuple([(out.data.shape, out.data.dtype, array_module(out.data)) for out in outputs])
        self.site = _user_line() if _modes.anomaly else None
        for index, out in enumerate(outputs):
            if out.dtype.kind == "f":
                out.node, out.index, out.requires_grad = self, index, True
        if self.to_save:  # what each of these is to the operation is told by identity
            known: dict[int, Any] = {id(array): (i, outputs[i], None) for i, array in enumerate(returned)}
            for x, array, edge in zip(inputs, arrays, self.edges, strict=True):
                known[id(array)] = "input", x if isinstance(x, Tensor) else None, edge
            intermediate = "intermediate", None, None
            self.saved = tuple([_Saved(array, *known.get(id(array), intermediate)) for array in self.to_save])
            self.to_save = ()

    def retain_grad(self, tensor: Tensor) -> None:
        # A weak reference: the graph must not keep its own results alive.
        reference = weakref.ref(tensor)

        def keep(gradient: Tensor) -> None:
            if (kept := reference()) is not None:
                add_to_grad(kept, gradient)

        self.hooks.setdefault(tensor.index, []).append(keep)

    def free(self) -> None:
        """Drop what was saved and the way back; a later backward through here is an error."""
        self.freed = True
        self.edges, self.saved, self.hooks = (), (), {}
        self.__dict__.clear()

    def run(self, gradients: list[Tensor | None], wanted: tuple[bool, ...]) -> list[Tensor | None]:
        """Call the operation's backward and check what it returns: one gradient per input, in the input's shape."""
        filled = [
            Tensor(xp.zeros(shape, dtype)) if gradient is None else gradient
            for gradient, (shape, dtype, xp) in zip(gradients, self.outputs, strict=True)
        ]
        self.needs_input_grad = wanted
        before = [_checksum(gradient.data) for gradient in filled] if _modes.anomaly else None
        returned = type(self).backward(self, *filled)
        if before is not None and before != [_checksum(gradient.data) for gradient in filled]:
            raise OverwrittenError(f"backward of {self.operation!r} overwrote the gradient handed to it")
        results = list(returned) if isinstance(returned, tuple) else [returned]
        if len(results) != len(self.edges):
            counts = f"{len(results)} gradients for {len(self.edges)} inputs"
            raise GraphError(f"backward of {self.operation!r} returned {counts}")
        for i, (result, is_wanted) in enumerate(zip(results, wanted, strict=True)):
            if is_wanted and result is not None:
                self._check(result, i)
        return results

    def _check(self, gradient: Any, i: int) -> None:
        what = f"backward of {self.operation!r}: gradient of input {i}"
        if not isinstance(gradient, Tensor):
            raise DtypeError(f"{what} is a {type(gradient).__name__}, expected a Tensor")
        shape, dtype = self.inputs[i]
        if gradient.shape != shape:
            raise ShapeError(f"{what} has shape {gradient.shape}, but the input has {shape}")
        if gradient.dtype != dtype:
            raise DtypeError(f"{what} has dtype {gradient.dtype}, but the input has {dtype}")
        if _modes.anomaly and not array_module(gradient.data).isfinite(gradient.data).all():
            where = f", called at {self.site}," if self.site else ""
            raise NotFiniteError(f"{what}{where} is NaN or infinite")


# Where a gradient goes: to output `index` of a node, or to a leaf.
Edge: TypeAlias = tuple[Node, int] | Tensor


class Function(Node):
    """An operation: subclass it, define `forward` and `backward`, and call `apply`.

    class Square(ms.Function):
        def forward(ctx, x):           # arrays in, array (or tuple of arrays) out
            ctx.save_for_backward(x)
            return x * x

        def backward(ctx, dout):       # Tensors in, one Tensor (or None) per input out
            (x,) = ctx.saved_tensors
            return 2 * x * dout

    y = Square.apply(x)

    Both are always called through the class, with ctx, the record of the call; so PyTorch's @staticmethod may stand
    above them, and changes nothing.
    """

    def __init_subclass__(cls) -> None:
        cls.operation = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def forward(ctx, *arrays: Any, **settings: Any) -> Any:
        """Compute the output array, or a tuple of them, from the inputs' arrays."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *inputs: Any, **settings: Any) -> Any:
        """Run the operation on Tensors and record it if any of them requires a gradient.

        Inputs that are not Tensors and keyword settings reach forward as they are. Raises DeviceError if the Tensors
        are not all on one device.
        """
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if len(tensors) > 1 and len({x.device for x in tensors}) > 1:
            raise DeviceError(f"{cls.operation}: tensors on different devices: {', '.join(x.device for x in tensors)}")
        ctx = cls()
        ctx.needs_input_grad = tuple([isinstance(x, Tensor) and x.requires_grad for x in inputs])
        arrays = _distinct_arrays(inputs)
        result = cls.forward(ctx, *arrays, **settings)
        returned = result if isinstance(result, tuple) else (result,)
        outputs = [_wrap(array, tensors) for array in returned]
        is_wanted = True in ctx.needs_input_grad
        if is_wanted and _modes.grad:
            ctx.record(inputs, arrays, returned, outputs)
        elif is_wanted or any([x.untracked for x in tensors]):
            for out in outputs:
                out.untracked = cls.operation
        return tuple(outputs) if isinstance(result, tuple) else outputs[0]


def _distinct_arrays(inputs: Sequence[Any]) -> list[Any]:
    """Return the inputs' arrays, each an object of its own: what forward saves then tells which input it was.

    x and x.detach() look at one array, but a derivative goes on through the first alone.
    """
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    if len({id(array) for array in arrays}) == len(arrays):
        return arrays
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and any([x.data is other for other in arrays[:i]]):
            arrays[i] = x.data.view()
    return arrays


def _wrap(array: Any, inputs: list[Tensor]) -> Tensor:
    """Make an output Tensor; one that looks at an input's memory shares the input's count of writes."""
    array = np.asarray(array) if isinstance(array, np.generic) else array
    if array.base is not None or any([array is x.data for x in inputs]):
        owner = storage(array)
        for x in inputs:
            if storage(x.data) is owner:
                return Tensor(array, version=x.version)
    return Tensor(array)


def edge_of(tensor: Tensor) -> Edge:
    """Where the gradient of this Tensor goes."""
    return tensor if tensor.node is None else (tensor.node, tensor.index)


def slot_of(edge: Edge) -> Slot:
    return (id(edge), 0) if isinstance(edge, Tensor) else (id(edge[0]), edge[1])


def _user_line() -> str:
    """Name the innermost line on the stack that is not minisk's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    path, line = frame.f_code.co_filename, frame.f_lineno
    return f"{path}:{line} ({linecache.getline(path, line).strip()})"


def _checksum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(to_device(array, "cpu")).tobytes())


def add_to_grad(tensor: Tensor, gradient: Tensor) -> None:
    """Accumulate into `.grad`, which the Tensor owns: what is kept there is never a view of something else."""
    if tensor.grad is not None:
        tensor.grad = sum_of(tensor.grad, gradient)
    else:
        tensor.grad = gradient if gradient.requires_grad else Tensor(gradient.data.copy())


def sum_of(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b, two gradients of one tensor; an operation only if it has to be differentiated in turn."""
    is_recorded = _modes.grad and (a.requires_grad or b.requires_grad)
    return a + b if is_recorded else Tensor(kernels.add(a.data, b.data))
