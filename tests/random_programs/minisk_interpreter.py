"""Runs a program on minisk."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from interpreter import Interpreter
from steps import Call, Leaf, Program, Write, substitute

import minisk as ms
from minisk import ops


def batch_norm(x: Any, weight: Any, bias: Any, mean: np.ndarray, var: np.ndarray, **settings: Any) -> Any:
    """Return the output, and the running statistics after the call."""
    running = [ms.tensor(array, dtype=getattr(x, "dtype", "float32")) for array in (mean, var)]
    return (ops.batch_norm(x, weight, bias, *running, **settings), *running)


def dropout(x: Any, p: float, seed: int) -> Any:
    ms.manual_seed(seed)
    return ops.dropout(x, p)


# Each operation, as a function whose positional arguments are operands.
FUNCTIONS: dict[str, Callable[..., Any]] = {name: getattr(ops, name) for name in ops.__all__} | {
    "batch_norm": batch_norm,
    "concatenate": lambda *xs, axis: ops.concatenate(xs, axis),
    "detach": lambda x: x.detach(),
    "dropout": dropout,
    "get_item": lambda x, index: x[index],
    "reshape": lambda x, shape: ops.reshape(x, shape),
    "select": lambda logits, *branches: ops.select(logits, branches),
    "stack": lambda *xs, axis: ops.stack(xs, axis),
    "transpose": lambda x, axes: ops.transpose(x, axes),
}
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "matmul": operator.matmul,
    "neg": operator.neg,
    "abs": abs,
    "pow": lambda x, exponent: x**exponent,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "logical_not": operator.invert,
    "get_item": lambda x, index: x[index],
}
IN_PLACE: dict[str, Callable[..., Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
}


class MiniskInterpreter(Interpreter):
    """Runs steps on minisk. `after_call`, if given, is called with each Call, its arguments and its results."""

    def __init__(self, after_call: Callable[..., None] | None = None) -> None:
        super().__init__()
        self.after_call = after_call

    def leaf(self, step: Leaf) -> ms.Tensor:
        return ms.Tensor(step.laid_out(), requires_grad=step.requires_grad)

    def call(self, step: Call, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Sequence[Any]:
        function = (OPERATORS if step.form == "operator" else FUNCTIONS)[step.operation]
        result = function(*inputs, **settings)
        results = result if isinstance(result, tuple | list) else [result]
        for each in results:
            if not isinstance(each, ms.Tensor):
                raise AssertionError(f"{step.operation} returned a {type(each).__name__}")
        if self.after_call is not None:
            self.after_call(step, inputs, settings, results)
        return results

    def write(self, step: Write) -> None:
        target = self.environment[step.target]
        value, index = substitute((step.value, step.index), self.environment)
        if step.symbol == "=":
            target[index] = value
        else:
            self.environment[step.target] = IN_PLACE[step.symbol](target, value)

    def hook(self, target: ms.Tensor, hook: Any) -> Any:
        return target.register_hook(hook)

    def no_grad(self) -> Any:
        return ms.no_grad()

    def constant(self, array: np.ndarray, like: Any, requires_grad: bool) -> ms.Tensor:
        return ms.Tensor(array.astype(like.dtype), requires_grad=requires_grad)

    def converted(self, value: Any, like: Any) -> Any:
        return value.to(dtype=like.dtype)

    def grad(self, outputs: Any, inputs: Any, incoming: Any, create_graph: bool) -> Any:
        return ms.grad(outputs, inputs, incoming, create_graph=create_graph, allow_unused=True)

    def array(self, value: ms.Tensor) -> np.ndarray:
        return value.numpy()

    def dtype(self, value: ms.Tensor) -> str:
        return str(value.dtype)


def differentiate(
    environment: dict[str, ms.Tensor], outputs: tuple[str, ...], sources: tuple[str, ...], seed: int
) -> None:
    """Print the derivatives of a printed program: `Program.script` ends with this call."""
    interpreter = MiniskInterpreter()
    interpreter.environment = environment
    leaves = [Leaf(name, np.zeros(0), requires_grad=True) for name in sources if environment[name].is_leaf]
    inner = tuple(name for name in sources if not environment[name].is_leaf)
    interpreter.differentiate(Program(tuple(leaves), outputs, inner, seed, "smooth"))
    for label, found in [*interpreter.outcome.gradients.items(), *interpreter.outcome.errors.items()]:
        print(label, found, sep=": ")
