"""Function: the base class of every operation. `apply` runs it on arrays and records it in the graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import device_of, storage
from ..errors import DeviceError, DtypeError
from . import grad_mode
from .graph import Context, Node, Role, SavedTensor
from .observers import observers
from .tensor import Tensor


class Function:
    """An operation: subclass it, define `forward` and `backward`, and call `apply`.

    class Square(ms.Function):
        @staticmethod
        def forward(ctx, x):           # arrays in, array (or tuple of arrays) out
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dout):       # Tensors in, one Tensor (or None) for each input out
            (x,) = ctx.saved_tensors
            return 2 * x * dout

    y = Square.apply(x)

    ctx is the Context of the call: it carries data from forward to backward.
    """

    operation = "function"

    def __new__(cls, *inputs: Any, **settings: Any) -> Any:
        """Refuse `Square(x)`. Raises TypeError."""
        raise TypeError(f"{cls.__name__}: call {cls.__name__}.apply(...); an operation has no instances")

    def __init_subclass__(cls) -> None:
        cls.operation = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @staticmethod
    def forward(ctx: Context, *arrays: Any, **settings: Any) -> Any:
        """Compute the output array, or a tuple of them, from the arrays of the inputs."""
        raise NotImplementedError(f"{ctx._operation}: define forward(ctx, ...) as a static method")

    @staticmethod
    def backward(ctx: Context, *gradients: Any) -> Any:
        """Compute the gradient of each input, as a Tensor or None, from the gradient of each output."""
        raise NotImplementedError(f"{ctx._operation}: define backward(ctx, ...) as a static method")

    @classmethod
    def apply(cls, *inputs: Any, **settings: Any) -> Any:
        """Run the operation, and record it if an input requires a gradient.

        Args:
            inputs: Tensors, whose arrays reach forward; anything else reaches forward as it is.
            settings: reach forward as they are.

        Returns:
            A Tensor, or a tuple of Tensors if forward returns a tuple.

        Raises:
            DeviceError: if the Tensors are on different devices.
        """
        for observer in observers:
            observer.before_forward(cls, inputs, settings)
        arrays, tensors, needs_grad = _unwrapped(cls.operation, inputs)
        ctx = Context(cls.operation, needs_grad)
        result = cls.forward(ctx, *arrays, **settings)
        returned = result if isinstance(result, tuple) else (result,)
        outputs = tuple([_wrap(array, tensors) for array in returned])
        node = None
        if True in needs_grad and grad_mode.state.enabled:
            node = Node(cls, ctx, inputs, outputs)
            if ctx._saved:
                ctx._saved = _saved_tensors(ctx._saved, node, inputs, arrays, outputs, returned)
        elif True in needs_grad or any([x.untracked for x in tensors]):
            for out in outputs:
                out.untracked = cls.operation
        for observer in observers:
            observer.after_forward(cls, inputs, settings, outputs, node)
        return outputs if isinstance(result, tuple) else outputs[0]


def _unwrapped(operation: str, inputs: Sequence[Any]) -> tuple[list[Any], list[Tensor], tuple[bool, ...]]:
    """Return the inputs' arrays, the Tensors among the inputs, and for each input whether it requires a gradient.

    No two arrays are the same object, so that `_saved_tensors` can find an array's input: x and x.detach() share one
    array, but a derivative goes on through x alone. One loop does it all, because every operation waits for it.
    """
    arrays, tensors, needs_grad = [], [], []
    for x in inputs:
        if isinstance(x, Tensor):
            tensors.append(x)
            arrays.append(x.data)
            needs_grad.append(x._requires_grad)
        else:
            arrays.append(x)
            needs_grad.append(False)
    if len(arrays) > 1:
        if len(set(map(id, arrays))) < len(arrays):
            _make_distinct(arrays, inputs)
        devices = [device_of(x.data) for x in tensors]
        if len(set(devices)) > 1:
            raise DeviceError(f"{operation}: tensors on different devices: {', '.join(devices)}")
    return arrays, tensors, tuple(needs_grad)


def _make_distinct(arrays: list[Any], inputs: Sequence[Any]) -> None:
    """Replace a Tensor's array that an earlier input has, too, by a view of it."""
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and any([x.data is other for other in arrays[:i]]):
            arrays[i] = x.data.view()


def _wrap(array: Any, inputs: list[Tensor]) -> Tensor:
    """Return an output Tensor. If it shares an input's memory, it also shares that input's count of writes."""
    array = np.asarray(array) if isinstance(array, np.generic) else array
    if array.base is not None or any([array is x.data for x in inputs]):
        owner = storage(array)
        for x in inputs:
            if storage(x.data) is owner:
                return Tensor(array, version=x.version)
    return Tensor(array)


def _saved_tensors(
    to_save: Sequence[Any], node: Node, inputs: Sequence[Any], arrays: Any, outputs: Sequence[Tensor], returned: Any
) -> tuple[SavedTensor | None, ...]:
    """Match each saved array to an input or output by object identity, and return it with that role; None as None.

    Args:
        to_save: the arguments of save_for_backward.
        inputs, arrays: the arguments of `apply`, and those of forward.
        outputs, returned: the output Tensors, and the arrays that forward returned.
    """

    def saved(array: Any) -> SavedTensor | None:
        if array is None:
            return None
        for x, given, edge in zip(inputs, arrays, node.edges, strict=True):
            if given is array:
                return SavedTensor(array, Role.INPUT, x if isinstance(x, Tensor) else None, edge)
        for out, computed in zip(outputs, returned, strict=True):
            if computed is array:
                return SavedTensor(array, Role.OUTPUT, out)
        return SavedTensor(array, Role.INTERMEDIATE)

    for array in to_save:
        if array is not None and not hasattr(array, "dtype"):
            not_saved = f"save_for_backward of {node.operation!r}: a {type(array).__name__} is no array"
            raise DtypeError(f"{not_saved}; set a constant as an attribute of ctx")
    return tuple([saved(array) for array in to_save])
