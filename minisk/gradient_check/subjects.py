"""What is checked: named arrays in, outputs out, and the gradient of their weighted sum (a vector-Jacobian product).

TensorSubject    a function of Tensors, a Function or a Module; its parameters are arrays like its inputs
GradientSubject  the gradient of another subject, as a function of inputs and incoming gradients: order 2
PairSubject      forward and backward in plain NumPy, no Tensor at all
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import grad
from ..device import seeded, to_device
from ..errors import DeviceError, DtypeError, ShapeError
from ..function import Function, detect_anomaly, is_grad_enabled, no_grad, switch_mode
from ..nn.module import Module
from ..tensor import Tensor

Arrays = list[Any]
SEED = 0  # of minisk's own generator, before every evaluation: dropout then drops the same values each time


class Subject:
    """Named arrays of one dtype, and two functions of them; `order` is the order of the derivative that is checked."""

    names: list[str]
    arrays: Arrays
    order = 1
    inputs = 0  # how many of the arrays are inputs; the others are parameters
    evaluations = 0  # the cost so far, with the next
    backwards = 0

    def evaluate(self, arrays: Arrays) -> Arrays:
        """Return the floating outputs."""
        raise NotImplementedError

    def gradients(self, arrays: Arrays, weights: Arrays) -> Arrays:
        """Return the gradient of Σ weights · outputs with respect to each array."""
        raise NotImplementedError

    def gradients_twice(self, arrays: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
        """Run forward once and backward twice, watching what is written to."""
        return self.gradients(arrays, weights), self.gradients(arrays, weights)

    def repeated_gradient(self, arrays: Arrays, weights: Arrays, first: int, second: int) -> Any:
        """Return the gradient with respect to one object that is passed as two of the inputs."""
        raise NotImplementedError

    def restored(self) -> contextlib.AbstractContextManager[Any]:
        """Leave everything as it was found."""
        return contextlib.nullcontext()


class TensorSubject(Subject):
    """A function of Tensors. Arguments that are not floating are passed on as they are."""

    def __init__(self, function: Any, arguments: Sequence[Any], params: Mapping[str, Tensor], dtype: str) -> None:
        self.module = function if isinstance(function, Module) else None
        self.function = function.apply if isinstance(function, type) and issubclass(function, Function) else function
        self.arguments = arguments
        self.positions = [i for i, x in enumerate(arguments) if _is_floating(x)]
        self.params = dict(params)
        if self.module is not None:
            self.params |= {k: p for k, p in self.module.named_parameters() if p.requires_grad}
        self.dtype = dtype
        names = argument_names(function, len(arguments))
        self.names = [names[i] for i in self.positions]
        self.names += [f"{name} (parameter)" if name in self.names else name for name in self.params]
        self.inputs = len(self.positions)
        self.arrays = [_host(arguments[i], dtype) for i in self.positions]
        self.arrays += [_host(parameter, dtype) for parameter in self.params.values()]
        # What takes part without being checked: running statistics, and parameters that are frozen.
        fixed: list[Tensor] = list(self.module.buffers()) if self.module is not None else []
        fixed += [p for p in self.module.parameters() if not p.requires_grad] if self.module is not None else []
        self.fixed = [(tensor, _host(tensor, dtype)) for tensor in fixed]

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        """Put each array into a Tensor that requires gradients: a new one, or the parameter it belongs to."""
        leaves = [
            Tensor(_place(a, _device(self.arguments[i])), requires_grad=True)
            for i, a in zip(self.positions, arrays, strict=False)
        ]
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
            result = self.function(*called)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        for output in outputs:
            if not isinstance(output, Tensor):
                raise DtypeError(f"gradcheck: the function returned a {type(output).__name__}, expected Tensors")
        return [output for output in outputs if output.dtype.kind == "f"]

    def evaluate(self, arrays: Arrays) -> Arrays:
        self.evaluations += 1
        with no_grad():
            return [to_device(output.data, "cpu") for output in self.run(self.leaves(arrays))]

    def gradients(self, arrays: Arrays, weights: Arrays) -> Arrays:
        self.backwards += 1
        leaves = self.leaves(arrays)
        return _numpy(differentiate(self.run(leaves), leaves, _seeds(leaves, weights)))

    def gradients_twice(self, arrays: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
        with detect_anomaly():
            leaves = self.leaves(arrays)
            outputs, seeds = self.run(leaves), _seeds(leaves, weights)
            first = _numpy(differentiate(outputs, leaves, seeds, retain_graph=True))
            return [g.copy() for g in first], _numpy(differentiate(outputs, leaves, seeds))

    def repeated_gradient(self, arrays: Arrays, weights: Arrays, first: int, second: int) -> Any:
        leaves = self.leaves(arrays)
        leaves[second] = leaves[first]
        return _numpy(differentiate(self.run(leaves), [leaves[first]], _seeds(leaves, weights)))[0]

    def restored(self) -> contextlib.AbstractContextManager[Any]:
        return self._restored()

    @contextlib.contextmanager
    def _restored(self) -> Iterator[None]:
        tensors = [*self.params.values(), *(tensor for tensor, _ in self.fixed)]
        before = [(tensor, tensor.data, tensor.requires_grad) for tensor in tensors]
        modes = [(module, module.training) for module in self.module.modules()] if self.module is not None else []
        try:
            for parameter in self.params.values():
                parameter.requires_grad = True
            yield
        finally:
            for tensor, data, requires_grad in before:
                tensor.data, tensor.requires_grad = data, requires_grad
                tensor.mark_written()
            for module, training in modes:
                module.training = training


class GradientSubject(TensorSubject):
    """The gradient function of a subject: (its arrays, incoming gradients) → gradients of its arrays."""

    def __init__(self, base: TensorSubject, weights: Arrays) -> None:
        self.base, self.order = base, base.order + 1
        self.inputs = 0  # no two of these are ever one object
        self.names = base.names + [f"incoming {i}" for i in range(len(weights))]
        self.arrays = base.arrays + weights

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        count = len(self.base.arrays)
        leaves = self.base.leaves(arrays[:count])
        return leaves + [Tensor(_place(a, leaves[0].device), requires_grad=True) for a in arrays[count:]]

    def run(self, leaves: list[Tensor]) -> list[Tensor]:
        count, is_recorded = len(self.base.arrays), is_grad_enabled()
        with switch_mode("grad", True):
            outputs = self.base.run(leaves[:count])
            return differentiate(outputs, leaves[:count], leaves[count:], create_graph=is_recorded)

    def restored(self) -> contextlib.AbstractContextManager[Any]:
        return self.base.restored()


class PairSubject(Subject):
    """forward(*inputs) → array or tuple of arrays; backward(incoming gradient or tuple, *inputs) → one per input."""

    def __init__(self, pair: tuple[Callable[..., Any], Callable[..., Any]], arguments: Any, dtype: str) -> None:
        self.forward, self.backward = pair
        self.arguments = list(arguments)
        self.positions = [i for i, x in enumerate(arguments) if _is_floating(x)]
        names = argument_names(self.forward, len(self.arguments))
        self.names = [names[i] for i in self.positions]
        self.arrays = [_host(arguments[i], dtype) for i in self.positions]
        self.inputs = len(self.arrays)

    def _called(self, arrays: Arrays) -> list[Any]:
        called = list(self.arguments)
        for i, array in zip(self.positions, arrays, strict=True):
            called[i] = array
        return called

    def evaluate(self, arrays: Arrays) -> Arrays:
        self.evaluations += 1
        result = self.forward(*self._called(arrays))
        return [np.asarray(out) for out in (result if isinstance(result, tuple | list) else [result])]

    def gradients(self, arrays: Arrays, weights: Arrays) -> Arrays:
        self.backwards += 1
        returned = self.backward(weights[0] if len(weights) == 1 else tuple(weights), *self._called(arrays))
        results = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(results) == len(self.arguments):
            results = [results[i] for i in self.positions]
        if len(results) != len(arrays):
            raise ShapeError(f"backward returned {len(results)} gradients for {len(arrays)} inputs")
        for name, array, result in zip(self.names, arrays, results, strict=True):
            if not isinstance(result, np.ndarray | np.generic):
                raise DeviceError(f"gradient of {name!r} is a {type(result).__name__}, expected a NumPy array")
            if result.shape != array.shape:
                raise ShapeError(f"gradient of {name!r} has shape {result.shape}, but the input has {array.shape}")
            if result.dtype != array.dtype:
                raise DtypeError(f"gradient of {name!r} has dtype {result.dtype}, but the input has {array.dtype}")
        return [np.asarray(result) for result in results]

    def repeated_gradient(self, arrays: Arrays, weights: Arrays, first: int, second: int) -> Any:
        called = list(arrays)
        called[second] = called[first]
        results = self.gradients(called, weights)
        return results[first] + results[second]


def differentiate(outputs: list[Tensor], leaves: list[Tensor], seeds: list[Tensor], **how: bool) -> list[Tensor]:
    """Return the gradient of each leaf; zeros where the outputs do not depend on it."""
    rooted = [(output, seed) for output, seed in zip(outputs, seeds, strict=True) if output.requires_grad]
    return list(grad([o for o, _ in rooted], leaves, [s for _, s in rooted], allow_unused=True, **how))


def argument_names(function: Any, count: int) -> list[str]:
    """Return the names that the function itself gives its first `count` arguments."""
    drop = 0
    if isinstance(function, Module):
        function = function.forward
    elif isinstance(function, type):
        function, drop = function.forward, 1  # type: ignore[attr-defined]
    try:
        parameters = list(inspect.signature(function).parameters.values())[drop:]
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return named + [f"input {i}" for i in range(len(named), count)]


def _is_floating(x: Any) -> bool:
    return isinstance(x, Tensor | np.ndarray) and x.dtype.kind == "f"


def _device(x: Any) -> str:
    return x.device if isinstance(x, Tensor) else "cpu"


def _host(x: Any, dtype: str) -> Any:
    return to_device(x.data if isinstance(x, Tensor) else x, "cpu").astype(dtype, order="C")


def _place(array: Any, device: str) -> Any:
    return to_device(np.asarray(array), device)  # arithmetic turns arrays of shape () into scalars


def _seeds(leaves: list[Tensor], weights: Arrays) -> list[Tensor]:
    return [Tensor(_place(weight, leaves[0].device)) for weight in weights]


def _numpy(tensors: list[Tensor]) -> Arrays:
    return [to_device(tensor.data, "cpu") for tensor in tensors]
