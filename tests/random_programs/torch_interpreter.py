"""Runs a program on PyTorch in float64, by minisk's conventions: the reference.

Every floating value is float64, and carries in `minisk_dtype` the dtype that minisk's rules give it. If a program
writes in place, operands and results are cloned: PyTorch then differentiates with the values at the time of their use.
With `noise`, each operand, result and gradient is disturbed by that relative amount. The change of a result shows how
strongly rounding errors reach it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from conventions import (
    EXACT,
    FLOATING,
    MOVING,
    OTHER_AT_NAN,
    VIEWS,
    ConventionError,
    refuse,
    result_dtype,
    returns_itself,
)
from interpreter import Interpreter
from kinks import FAR, distance_from_kink
from steps import Call, Leaf, Program, Write, substitute
from torch_functions import FUNCTIONS, as_numpy

torch.set_num_threads(1)


@contextlib.contextmanager
def float64_by_default() -> Iterator[None]:
    """Let PyTorch make floats of integers in float64, without its warnings; settings of the process are restored."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


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
        has_no_slope: whether an operation of OTHER_AT_NAN had a NaN among its operands, var an infinity, or √x a -inf.
        divides_by_computed_zero: whether a divisor that is no leaf, or one of a slope, holds 0: the quotient's sign may
            differ.
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

    def step(self, index: int, step: Any) -> None:
        with float64_by_default():
            super().step(index, step)

    def differentiate(self, program: Program) -> None:
        with float64_by_default():
            super().differentiate(program)

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
        """Return a Tensor for an array, a number or a list; keep Tensors and None. An int takes the dtype it meets."""
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
        result = FUNCTIONS[operation](*self.prepared(operation, given), **settings)
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
        self.has_no_slope |= operation in OTHER_AT_NAN and any(bool(x.isnan().any()) for x in floats)
        self.has_no_slope |= operation == "var" and any(bool(x.isinf().any()) for x in floats)
        exponent = settings.get("exponent", 1)
        # NumPy's √-inf is NaN; the slope, C's pow(-inf, -0.5), is 0.
        self.has_no_slope |= operation == "pow" and exponent == 0.5 and any(bool(x.isneginf().any()) for x in floats)
        divides = operation == "sqrt" or (operation == "pow" and exponent < 1)  # or its slope does
        divisor = operands[-1] if operation == "div" else operands[0] if divides else None
        if divisor is not None and not divisor.is_leaf and bool((divisor == 0).any()):
            self.divides_by_computed_zero = True

    def prepared(self, operation: str, operands: list[Any]) -> list[Any]:
        """Return the operands in float64 where the operation computes in floating dtypes; cloned; disturbed."""
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


def storage_of(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()
