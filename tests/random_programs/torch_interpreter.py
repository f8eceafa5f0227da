"""Runs a program on PyTorch in float64, by minisk's conventions: the reference.

Every floating value is float64, and remembers the dtype that minisk's rules give it. Operands are cloned before they are
used if a program writes in place: PyTorch then differentiates with the values at the time of their use.
With `noise`, each operand and each gradient is disturbed by that relative amount: the change of a result shows how
strongly rounding errors reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from interpreter import Interpreter
from kinks import COMPARISONS, FAR, distance_from_kink
from operations import counterparts
from steps import Call, Leaf, Program, Write, substitute

F = torch.nn.functional
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

# Operations that expect Tensors of one floating dtype.
STRICT = {"add_relu", "avg_pool2d", "axpy", "batch_norm", "channel_dot", "channel_scale", "conv2d", "cross_entropy"}
STRICT |= {"dropout", "global_avg_pool2d", "linear", "max_pool2d", "select"}
# Operations that compute integers in float32.
FLOATING = {"abs", "clip", "div", "exp", "log", "log_softmax", "mean", "relu", "sigmoid", "softmax", "sqrt", "tanh"}
FLOATING |= {"var"}
MOVING = {"broadcast_to", "concatenate", "detach", "expand_dims", "get_item", "pad", "reshape", "split", "squeeze"}
MOVING |= {"stack", "to", "transpose"}
VIEWS = MOVING - {"concatenate", "pad", "stack"} | {"cast", "sum_to"}
# Operations that do not round: noise before them could only break ties.
EXACT = MOVING | COMPARISONS | {"abs", "argmax", "clip", "max", "maximum", "min", "minimum", "neg", "relu", "where"}
EXACT |= {"max_pool2d"}
# Operations whose gradient is selected by the operands' order.
KINKED = {"abs", "add_relu", "batch_norm", "clip", "max", "max_pool2d", "maximum", "min", "minimum", "relu"}


class ConventionError(Exception):
    """minisk refuses by its documented conventions what PyTorch computes."""


class Disturb(torch.autograd.Function):
    """x · (1 + noise · u) with u in (-1, 1); so are the gradients of every order, each with other u."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, noise: float, random: torch.Generator) -> torch.Tensor:
        ctx.noise, ctx.random = noise, random
        return x * (1 + noise * (2 * torch.rand(x.shape, generator=random) - 1))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return Disturb.apply(gradient, ctx.noise, ctx.random), None, None


class TorchInterpreter(Interpreter):
    """Runs steps on PyTorch.

    Attributes:
        kink_distance: the least relative distance of any operand from a kink, where the operation has one.
        is_stale: whether memory was written to after a recorded operation had used it.
        has_no_slope: whether an operation with a kink had a NaN among its operands, or var an infinity.
        divides_by_computed_zero: whether a divisor that is no leaf holds 0, whose sign, and so the quotient's, may differ.
        eps: the machine epsilon of the least exact floating dtype in the program.
    """

    def __init__(self, program: Program | None = None, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        self.random = torch.Generator().manual_seed(7)
        self.has_writes = program is not None and any(isinstance(step, Write) for step in program.steps)
        self.kink_distance = FAR
        self.is_stale = False
        self.has_no_slope = False
        self.divides_by_computed_zero = False
        self.eps = float(np.finfo(np.float64).eps)
        self.used: set[int] = set()
        self.functions = counterparts(torch) | FUNCTIONS

    # Values

    def tracked(self, value: torch.Tensor, dtype: str) -> torch.Tensor:
        """Return the value with the dtype that minisk would give it."""
        if np.dtype(dtype).kind == "f":
            self.eps = max(self.eps, float(np.finfo(dtype).eps))
        value.minisk_dtype = dtype
        if self.noise and value.requires_grad:
            value.register_hook(self.disturbed)
        return value

    def disturbed(self, x: Any) -> Any:
        """Return x disturbed; its gradient from this use is disturbed too, by other noise."""
        if not self.noise or not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return x
        return Disturb.apply(x, self.noise, self.random)

    def leaf(self, step: Leaf) -> torch.Tensor:
        array = step.array.astype(np.float64) if step.array.dtype.kind == "f" else step.array
        value = torch.tensor(np.ascontiguousarray(array).reshape(array.shape), requires_grad=step.requires_grad)
        return self.tracked(value, str(step.array.dtype))

    def operand(self, value: Any, others: Sequence[Any] = ()) -> Any:
        """Return a Tensor for an array, a number or a list; keep Tensors and None. An int takes an integer dtype it meets."""
        if value is None or isinstance(value, torch.Tensor):
            return value
        if isinstance(value, int):
            met = [x.dtype for x in others if isinstance(x, torch.Tensor) and self.dtype(x).startswith(("int", "uint"))]
            return torch.tensor(value, dtype=met[0] if met else None)
        array = np.asarray(value)
        return torch.tensor(array.astype(np.float64) if array.dtype.kind == "f" else array)

    # Operations

    def call(self, step: Call, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Sequence[Any]:
        operation = step.operation
        dtype = result_dtype(operation, inputs)
        refuse(operation, inputs, settings)
        if returns_itself(operation, inputs[0], settings):
            return [inputs[0]]
        given = [self.operand(x, inputs) for x in inputs]
        if operation == "cross_entropy":
            settings["target"] = np.asarray(self.array(self.operand(settings["target"])))
        arrays = [x.detach().numpy() for x in given if x is not None]
        self.kink_distance = min(self.kink_distance, distance_from_kink(operation, arrays, settings))
        self.note_undefined(operation, given, settings)
        result = self.functions[operation](*self.prepared(operation, given), **settings)
        results = result if isinstance(result, tuple | list) else [result]
        if operation == "cast":
            dtype = settings["dtype"]
        if self.noise and operation not in VIEWS | EXACT:
            for result in results:  # in place, so that a result which PyTorch saved for backward is disturbed too
                result.data.copy_(self.disturbed(result.data))
        if self.has_writes and operation not in VIEWS:
            results = [r.clone() for r in results]  # PyTorch may have saved the result for backward
        if not torch.is_grad_enabled():
            results = [r.detach() for r in results]  # a view of PyTorch requires gradients even then
        self.note_use(given, results)
        for result in results:
            is_view = operation in VIEWS and getattr(given[0], "is_read_only", False)
            result.is_read_only = operation == "broadcast_to" or is_view
        return [self.tracked(r, dtype if r.is_floating_point() else self.dtype(r)) for r in results]

    def note_undefined(self, operation: str, operands: list[Any], settings: dict[str, Any]) -> None:
        """Note operands at which the result or the slope depends on the formula."""
        floats = [x.detach() for x in operands if x is not None and x.is_floating_point()]
        self.has_no_slope |= operation in KINKED and any(bool(x.isnan().any()) for x in floats)
        self.has_no_slope |= operation == "var" and any(bool(x.isinf().any()) for x in floats)
        exponent = settings.get("exponent", 1)
        divisor = operands[-1] if operation == "div" else operands[0] if operation == "pow" and exponent < 0 else None
        if divisor is not None and not divisor.is_leaf and bool((divisor == 0).any()):
            self.divides_by_computed_zero = True

    def prepared(self, operation: str, operands: list[Any]) -> list[Any]:
        """Return the operands converted to float64 where the operation computes in floating dtypes; cloned; disturbed."""
        has_float = any(x is not None and x.is_floating_point() for x in operands)
        to_float = operation in FLOATING or (has_float and operation not in MOVING | {"where"})
        changed = []
        for x in operands:
            if x is not None:
                x = x.double() if to_float else x
                x = x.clone() if self.has_writes and operation not in VIEWS else x
                x = x if operation in EXACT else self.disturbed(x)
            changed.append(x)
        return changed

    def note_use(self, operands: list[Any], results: Sequence[torch.Tensor]) -> None:
        if torch.is_grad_enabled() and any(r.requires_grad for r in results):
            tensors = [x for x in [*operands, *results] if isinstance(x, torch.Tensor)]
            self.used |= {storage_of(x) for x in tensors}

    def write(self, step: Write) -> None:
        target = self.environment[step.target]
        value, index = substitute((step.value, step.index), self.environment)
        source = self.operand(value)
        is_recorded = torch.is_grad_enabled() and (target.requires_grad or source.requires_grad)
        if step.symbol == "=":
            if is_recorded:
                raise ConventionError("a recorded write by index")
            self.write_elements(target, index, source.detach().clone())
            return
        if is_recorded and target.is_leaf:
            raise ConventionError("a recorded write to a leaf")
        name = {"+=": "add", "-=": "sub", "*=": "mul", "/=": "div"}[step.symbol]
        (result,) = self.call(Call((), name, ()), (target, value), {})
        if result.shape != target.shape:
            raise ConventionError("a write in place that changes the shape")
        if is_recorded:
            self.environment[step.target] = result
        else:
            self.write_elements(target, ..., result.detach())

    def write_elements(self, target: torch.Tensor, index: Any, value: torch.Tensor) -> None:
        places = np.asarray(np.arange(target.numel()).reshape(target.shape)[as_numpy(index)])
        spread = value.broadcast_to(places.shape) if value.ndim <= places.ndim else value.reshape(places.shape)
        if getattr(target, "is_read_only", False):
            raise ConventionError("a write to a result of broadcast_to")
        self.is_stale |= storage_of(target) in self.used
        memory = target.data  # `detach` would count the write, which crashes PyTorch 2.13 at a hook on a view
        if memory.ndim == 0:
            memory.copy_(spread.reshape(()))
        elif places.size:
            memory[tuple(torch.tensor(c) for c in np.unravel_index(places, target.shape))] = spread.to(memory.dtype)

    def hook(self, target: torch.Tensor, hook: Any) -> Any:
        return target.register_hook(hook).remove

    def no_grad(self) -> Any:
        return torch.no_grad()

    # Derivatives

    def constant(self, array: np.ndarray, like: Any, requires_grad: bool) -> torch.Tensor:
        return torch.tensor(array, requires_grad=requires_grad)

    def converted(self, value: Any, like: Any) -> Any:
        return value

    def grad(self, outputs: Any, inputs: Any, incoming: Any, create_graph: bool) -> Any:
        return torch.autograd.grad(
            outputs, inputs, incoming, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )

    def array(self, value: torch.Tensor) -> np.ndarray:
        if value._is_zerotensor():  # a gradient of zeros without memory, which `numpy` of PyTorch 2.13 reads
            return np.zeros(tuple(value.shape))
        return value.numpy(force=True)

    def dtype(self, value: torch.Tensor) -> str:
        """Return the dtype by minisk's rules; of a gradient, whose dtype is that of its value, only "float"."""
        if value.is_floating_point():
            return getattr(value, "minisk_dtype", "float")
        return str(value.dtype).removeprefix("torch.")


def returns_itself(operation: str, x: Any, settings: dict[str, Any]) -> bool:
    """Return whether minisk returns the operand itself, not a new Tensor."""
    if operation in ("sum_to", "broadcast_to"):
        return tuple(x.shape) == tuple(settings["shape"])
    if operation == "cast":
        return np.dtype(settings["dtype"]) == x.minisk_dtype
    return operation == "to" or (operation == "dropout" and settings["p"] == 0)


def storage_of(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


def as_numpy(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(as_numpy(part) for part in index)
    return index.numpy() if isinstance(index, torch.Tensor) else index


def result_dtype(operation: str, inputs: Sequence[Any]) -> str:
    """Return the floating dtype that minisk's rules give a result. Raises ConventionError for two floating dtypes."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    if operation == "where":
        tensors = [x for x in inputs[1:] if isinstance(x, torch.Tensor)]
    if operation == "batch_norm":
        inputs = inputs[:3]
    dtypes = {x.minisk_dtype for x in tensors}
    floats = {dtype for dtype in dtypes if np.dtype(dtype).kind == "f"}
    if len(floats) > 1:
        raise ConventionError(f"two floating dtypes: {floats}")
    if operation in STRICT and (len(dtypes) > 1 or not floats or len(tensors) < sum(x is not None for x in inputs)):
        raise ConventionError(f"{operation} expects Tensors of one floating dtype")
    if operation in ("concatenate", "stack") and len(dtypes) > 1:
        raise ConventionError(f"{operation} expects one dtype")
    return floats.pop() if floats else "float32"


def refuse(operation: str, inputs: Sequence[Any], settings: dict[str, Any]) -> None:
    """Raise ConventionError for what minisk refuses on purpose, although PyTorch returns NaN or nothing."""
    shape = tuple(inputs[0].shape) if isinstance(inputs[0], torch.Tensor) else ()
    axis = settings.get("axis")
    if operation in ("mean", "var", "max", "min", "argmax"):
        axes = range(len(shape)) if axis is None else np.atleast_1d(axis)
        count = int(np.prod([shape[a] for a in axes]))
        if count <= settings.get("ddof", 0):
            raise ConventionError(f"{operation} of {count} values")
    if operation in ("softmax", "log_softmax") and (not shape or shape[axis] == 0):
        raise ConventionError(f"{operation} along an empty axis")
    if operation in ("conv2d", "cross_entropy") and 0 in (n for x in inputs if x is not None for n in x.shape):
        raise ConventionError(f"{operation} of nothing")
    if operation == "squeeze" and axis is not None and shape[axis] != 1:
        raise ConventionError(f"squeeze of axis {axis} of {shape}")
    sections = settings.get("indices_or_sections")
    if operation == "split" and isinstance(sections, int) and (sections < 1 or shape[axis] % sections):
        raise ConventionError(f"split of {shape} into {sections}")
    if operation in ("avg_pool2d", "max_pool2d", "global_avg_pool2d") and len(shape) != 4:
        raise ConventionError(f"{operation} of {shape}")
    if operation == "linear":
        expected = [tuple(x.shape) for x in inputs[1:] if x is not None]
        if len(expected[0]) != 2 or any(bias != expected[0][:1] for bias in expected[1:]):
            raise ConventionError(f"linear with weight and bias {expected}")
    low, high = settings.get("min"), settings.get("max")
    if operation == "clip" and None not in (low, high) and low > high:
        raise ConventionError(f"clip to [{low}, {high}]")
    if not shape and operation in ("sum", "max", "min", "mean", "var", "argmax") and axis is not None:
        raise ConventionError(f"{operation} along axis {axis} of shape ()")
    ranks = {x.ndim for x in inputs if isinstance(x, torch.Tensor)}
    if operation == "concatenate" and (len(ranks) > 1 or not -len(shape) <= axis < len(shape)):
        raise ConventionError(f"concatenate along axis {axis} of {shape}")  # PyTorch ignores operands of shape (0,)
    if operation == "batch_norm" and any(tuple(x.shape) != shape[1:2] for x in inputs[1:]):
        raise ConventionError(f"batch_norm of {shape}")
    shapes = [tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]
    if operation in ("add_relu", "channel_dot") and len(set(shapes)) > 1:
        raise ConventionError(f"{operation} of shapes {shapes}")
    if operation == "channel_dot" and len(shape) != 4:
        raise ConventionError(f"{operation} of shapes {shapes}")
    if operation in ("axpy", "channel_scale"):
        n_and_c = shapes[1][:2]
        if len(set(shapes[1:])) > 1 or len(shapes[1]) != 4 or shapes[0] not in (n_and_c, (*n_and_c, 1, 1)):
            raise ConventionError(f"{operation} of shapes {shapes}")


def get_item(x: torch.Tensor, index: Any) -> torch.Tensor:
    """Return a view where NumPy's indexing does and PyTorch can, else gathered elements."""
    parts = index if isinstance(index, tuple) else (index,)
    is_basic = all(
        part is None
        or part is Ellipsis
        or (isinstance(part, int) and not isinstance(part, bool))
        or (isinstance(part, slice) and (part.step is None or part.step > 0))
        for part in parts
    )
    if not is_basic:
        places = np.asarray(np.arange(x.numel()).reshape(x.shape)[as_numpy(index)]).copy()
        return x.reshape(-1)[torch.tensor(places)]
    view = x[index]
    # NumPy returns a single element as a copy, not as a view of the array.
    is_element = view.ndim == 0 and not any(part is Ellipsis for part in parts)
    return view.clone() if is_element else view


def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, relu: bool = False, **settings: Any
) -> tuple[torch.Tensor, ...]:
    """Return the output, and the running statistics after the call."""
    mean, var = mean.clone(), var.clone()
    out = F.batch_norm(x, mean, var, weight, bias, **settings)
    return (F.relu(out) if relu else out, mean, var)


def dropout(x: torch.Tensor, p: float, seed: int) -> torch.Tensor:
    """Return x times the mask that minisk draws from the seed."""
    import minisk as ms

    ms.manual_seed(seed)
    return x * torch.tensor(ms.ops.dropout(ms.ones(tuple(x.shape), dtype="float64"), p).numpy())


def select(logits: torch.Tensor, *branches: torch.Tensor) -> tuple[torch.Tensor, ...]:
    shape = branches[0].shape
    if len(shape) != 4 or logits.shape != (shape[0], len(branches), shape[1]) or any(b.shape != shape for b in branches):
        raise ConventionError(f"select: {logits.shape}")
    # Two nodes: in minisk the sum does not depend on the weights, both are results of one operation.
    return (logits.softmax(1)[..., None, None] * torch.stack(branches, 1)).sum(1), logits.softmax(1)


def cast(x: torch.Tensor, dtype: str) -> torch.Tensor:
    return x.to(torch.float64).clone() if np.dtype(dtype).kind == "f" else x.to(getattr(torch, dtype))


def power(x: torch.Tensor, exponent: Any) -> torch.Tensor:
    exponent = exponent.item() if isinstance(exponent, np.generic) else exponent
    is_natural = isinstance(exponent, int) and exponent >= 0
    x = x + 0.0 if exponent == -0.5 else x  # PyTorch computes 1/√x: -inf at -0, where C's pow is +inf
    return torch.pow(x if is_natural else x.double(), exponent)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "batch_norm": batch_norm,
    "cast": cast,
    "detach": lambda x: x.detach(),
    "dropout": dropout,
    "get_item": get_item,
    "pad": lambda x, pad_width: F.pad(x, [int(n) for n in np.broadcast_to(pad_width, (x.ndim, 2))[::-1].ravel()]),
    "pow": power,
    "select": select,
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
}
