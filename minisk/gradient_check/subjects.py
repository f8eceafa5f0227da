"""What is checked: named arrays in, outputs out, and the gradient of their weighted sum (a vector-Jacobian product).

Subject            a function of Tensors, a Function, a Module or a pair of NumPy functions, which becomes a Function;
                   parameters are arrays like the inputs
GradientSubject    the gradient of another subject, as a function of inputs and incoming gradients: order 2
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Context, Function, Tensor, detect_anomaly, enable_grad, grad, is_grad_enabled, no_grad
from ..backend import seeded, to_device
from ..errors import DtypeError
from ..nn.module import Module

Arrays = list[Any]
SEED = 0  # of minisk's own generator, before every evaluation: dropout then drops the same values each time


class Subject:
    """Named arrays of one dtype, and two functions of them; `order` is the order of the derivative that is checked."""

    order = 1
    evaluations = 0  # the cost so far, with the next
    backwards = 0

    def __init__(self, function: Any, arguments: Sequence[Any], params: Mapping[str, Tensor], dtype: str) -> None:
        arrays = [(i, x) for i, x in enumerate(arguments) if isinstance(x, Tensor | np.ndarray)]
        self.arguments, self.positions = arguments, [i for i, x in arrays if x.dtype.kind == "f"]
        names = argument_names(function[0] if isinstance(function, tuple) else function, len(arguments))
        function = _joined(function, self.positions) if isinstance(function, tuple) else function
        self.module = function if isinstance(function, Module) else Module()  # an empty one
        self.function = function.apply if isinstance(function, type) and issubclass(function, Function) else function
        self.params = {**params, **{k: p for k, p in self.module.named_parameters() if p.requires_grad}}
        self.inputs = len(self.positions)  # how many of the arrays are inputs; the others are parameters
        self.names = [names[i] for i in self.positions]
        self.names += [f"{name} (parameter)" if name in self.names else name for name in self.params]
        self.arrays = [_host(x, dtype) for x in [*(arguments[i] for i in self.positions), *self.params.values()]]
        # What takes part without being checked: running statistics, and parameters that are frozen.
        frozen = [p for p in self.module.parameters() if not p.requires_grad]
        self.fixed = [(tensor, _host(tensor, dtype)) for tensor in [*self.module.buffers(), *frozen]]

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        """Put each array into a Tensor that requires gradients: a new one, or the parameter it belongs to."""
        devices = [getattr(self.arguments[i], "device", "cpu") for i in self.positions]
        leaves = [Tensor(_place(a, device), requires_grad=True) for a, device in zip(arrays, devices, strict=False)]
        for parameter, array in zip(self.params.values(), arrays[self.inputs :], strict=True):
            parameter.data = _place(array, parameter.device)
        for tensor, array in self.fixed:
            tensor.data = _place(array.copy(), tensor.device)
        return leaves + list(self.params.values())

    def run(self, leaves: list[Tensor]) -> list[Tensor]:
        """Call the function; return its floating outputs."""
        called = list(self.arguments)
        for i, leaf in zip(self.positions, leaves, strict=False):
            called[i] = leaf
        with seeded(SEED):
            outputs = _listed(self.function(*called))
        for output in outputs:
            if not isinstance(output, Tensor):
                raise DtypeError(f"gradcheck: the function returned a {type(output).__name__}, expected Tensors")
        return [output for output in outputs if output.dtype.kind == "f"]

    def evaluate(self, arrays: Arrays) -> Arrays:
        """Return the floating outputs."""
        self.evaluations += 1
        with no_grad():
            return [output.numpy() for output in self.run(self.leaves(arrays))]

    def gradients(self, arrays: Arrays, weights: Arrays) -> Arrays:
        """Return the gradient of Σ weights · outputs with respect to each array."""
        self.backwards += 1
        leaves = self.leaves(arrays)
        return _backward(self.run(leaves), leaves, weights)

    def gradients_twice(self, arrays: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
        """Run forward once and backward twice, watching what is written to."""
        with detect_anomaly():
            leaves = self.leaves(arrays)
            outputs = self.run(leaves)
            first = [g.copy() for g in _backward(outputs, leaves, weights, retain_graph=True)]
            return first, _backward(outputs, leaves, weights)

    def repeated_gradient(self, arrays: Arrays, weights: Arrays, first: int, second: int) -> Any:
        """Return the gradient with respect to one object that is passed as two of the inputs."""
        leaves = self.leaves(arrays)
        leaves[second] = leaves[first]
        return _backward(self.run(leaves), [leaves[first]], weights)[0]

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Leave everything as it was found."""
        tensors = [*self.params.values(), *(tensor for tensor, _ in self.fixed)]
        before = [(tensor, tensor.data, tensor.requires_grad) for tensor in tensors]
        try:
            for parameter in self.params.values():
                parameter.requires_grad = True
            yield
        finally:
            for tensor, data, requires_grad in before:
                tensor.data, tensor.requires_grad = data, requires_grad
                tensor.mark_written()


class GradientSubject(Subject):
    """The gradient function of a subject: (its arrays, incoming gradients) → gradients of its arrays."""

    def __init__(self, base: Subject, weights: Arrays) -> None:
        self.base, self.order = base, base.order + 1
        self.evaluations, self.backwards = base.evaluations, base.backwards
        self.inputs = 0  # no two of these are ever one object
        self.names = base.names + [f"incoming {i}" for i in range(len(weights))]
        self.arrays = base.arrays + weights

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        count = len(self.base.arrays)
        leaves = self.base.leaves(arrays[:count])
        return leaves + [Tensor(_place(a, leaves[0].device), requires_grad=True) for a in arrays[count:]]

    def run(self, leaves: list[Tensor]) -> list[Tensor]:
        count, is_recorded = len(self.base.arrays), is_grad_enabled()
        with enable_grad():
            outputs = self.base.run(leaves[:count])
            return differentiate(outputs, leaves[:count], leaves[count:], create_graph=is_recorded)


def _joined(pair: tuple[Any, Any], positions: list[int]) -> type[Function]:
    """Make a Function of forward(*inputs) → array or tuple, backward(incoming gradient or tuple, *inputs) → gradients.

    positions: of the inputs that are floating; backward returns a gradient for each of these, or for every input.
    """

    forward, backward = pair

    class Pair(Function):
        @staticmethod
        def forward(ctx: Context, *inputs: Any) -> Any:
            ctx.given = inputs
            outputs = forward(*inputs)
            return tuple(outputs) if isinstance(outputs, tuple | list) else np.asarray(outputs)

        @staticmethod
        def backward(ctx: Context, *incoming: Tensor) -> Any:
            arrays = tuple(gradient.data for gradient in incoming)
            results = backward(arrays[0] if len(arrays) == 1 else arrays, *ctx.given)
            gradients = [Tensor(np.asarray(result)) for result in _listed(results)]
            if len(gradients) != len(positions):
                return tuple(gradients)
            return tuple(gradients[positions.index(i)] if i in positions else None for i in range(len(ctx.given)))

    return Pair


def differentiate(outputs: list[Tensor], leaves: list[Tensor], seeds: list[Tensor], **how: bool) -> list[Tensor]:
    """Return the gradient of each leaf; zeros where the outputs do not depend on it."""
    rooted = [(output, seed) for output, seed in zip(outputs, seeds, strict=True) if output.requires_grad]
    return list(grad([o for o, _ in rooted], leaves, [s for _, s in rooted], allow_unused=True, **how))


def argument_names(function: Any, count: int) -> list[str]:
    """Return the names that the function itself gives its first `count` arguments."""
    drop = 1 if isinstance(function, type) else 0  # ctx, of a Function
    if isinstance(function, Module | type):
        function = function.forward  # type: ignore[union-attr]
    try:
        parameters = list(inspect.signature(function).parameters.values())[drop:]
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return named + [f"input {i}" for i in range(len(named), count)]


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _host(x: Any, dtype: str) -> Any:
    return to_device(x.data if isinstance(x, Tensor) else x, "cpu").astype(dtype, order="C")


def _place(array: Any, device: str) -> Any:
    return to_device(np.asarray(array), device)  # arithmetic turns arrays of shape () into scalars


def _backward(outputs: list[Tensor], leaves: list[Tensor], weights: Arrays, **how: bool) -> Arrays:
    seeds = [Tensor(_place(weight, leaves[0].device)) for weight in weights]
    return [gradient.numpy() for gradient in differentiate(outputs, leaves, seeds, **how)]
