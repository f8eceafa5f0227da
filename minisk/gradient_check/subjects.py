"""What is checked, in one form: named arrays in, arrays out, and the gradient of the weighted sum of the outputs.

Subject            a function of Tensors, a Function, a Module, or a pair of NumPy functions (which becomes a Function);
                   parameters are arrays like the inputs
GradientSubject    the gradient of another subject, as a function of its arrays and incoming gradients: order 2

`weights` are incoming gradients: one array per floating output, of its shape. A *leaf* is the Tensor of one array.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Function, Tensor, detect_anomaly, grad, no_grad
from ..backend import seeded, to_device
from ..errors import DtypeError, ShapeError
from ..nn import Module

Arrays = list[Any]
# minisk's generator is seeded with this before every evaluation: dropout then drops the same elements each time.
SEED = 0


class Subject:
    """A function with named arrays of one dtype; `order` is the order of the derivative that is checked.

    Args:
        function: a function of Tensors, a Function, a Module or a pair of NumPy functions.
        arguments: what the function is called with; the floating Tensors and arrays are checked.
        params: Tensors, by name, that the function uses; checked too.
        dtype: "float64" or "float32", the dtype of all arrays.

    Attributes:
        arrays: the point at which the gradient is checked: first the inputs, then the parameters.
        names: the name of each array.
        input_count: how many of the arrays are inputs.
        shapes: of the floating outputs, which must not change; None before the first evaluation.
        evaluations, backwards: how often forward alone, and forward and backward, have run.
    """

    order = 1
    evaluations = 0
    backwards = 0
    shapes: list[tuple[int, ...]] | None = None

    def __init__(self, function: Any, arguments: Sequence[Any], params: Mapping[str, Tensor], dtype: str) -> None:
        self.arguments = arguments
        self.positions = [i for i, x in enumerate(arguments) if _is_floating(x)]
        self.input_count = len(self.positions)
        if isinstance(function, tuple):
            forward, backward = function
            names = argument_names(forward, len(arguments))
            function = _function_of_pair(forward, backward, self.positions)
        else:
            names = argument_names(function, len(arguments))
        is_operation = isinstance(function, type) and issubclass(function, Function)
        self.function = function.apply if is_operation else function
        self.params = dict(params)
        # Tensors that take part without being checked: running statistics, and frozen parameters.
        unchecked: list[Tensor] = []
        if isinstance(function, Module):
            self.params |= {name: p for name, p in function.named_parameters() if p.requires_grad}
            unchecked += function.buffers()
            unchecked += [p for p in function.parameters() if not p.requires_grad]
        self.fixed = [(tensor, _host_copy(tensor, dtype)) for tensor in unchecked]
        self.names = [names[i] for i in self.positions]
        self.names += [f"{name} (parameter)" if name in self.names else name for name in self.params]
        sources = [arguments[i] for i in self.positions] + list(self.params.values())
        self.arrays = [_host_copy(source, dtype) for source in sources]

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        """Return a Tensor per array that requires gradients: a new one for an input, the parameter for a parameter."""
        leaves = []
        for i, array in zip(self.positions, arrays[: self.input_count], strict=True):
            device = getattr(self.arguments[i], "device", "cpu")
            leaves.append(Tensor(_on_device(array, device), requires_grad=True))
        for parameter, array in zip(self.params.values(), arrays[self.input_count :], strict=True):
            parameter.data = _on_device(array, parameter.device)
            leaves.append(parameter)
        for tensor, array in self.fixed:
            tensor.data = _on_device(array.copy(), tensor.device)
        return leaves

    def run(self, leaves: list[Tensor]) -> list[Tensor]:
        """Call the function and return its floating outputs. Raises DtypeError if it returns anything but Tensors."""
        arguments = list(self.arguments)
        for i, leaf in zip(self.positions, leaves[: self.input_count], strict=True):
            arguments[i] = leaf
        with seeded(SEED):
            outputs = _as_list(self.function(*arguments))
        for output in outputs:
            if not isinstance(output, Tensor):
                raise DtypeError(f"gradcheck: the function returned a {type(output).__name__}, expected Tensors")
        floating = [output for output in outputs if output.dtype.kind == "f"]
        shapes = [output.shape for output in floating]
        if self.shapes not in (None, shapes):
            problem = f"the outputs have shapes {shapes} here and {self.shapes} at another point"
            raise ShapeError(f"gradcheck: {problem}: a mask or index must not depend on the values")
        self.shapes = shapes
        return floating

    def evaluate(self, arrays: Arrays) -> Arrays:
        """Return the floating outputs."""
        self.evaluations += 1
        with no_grad():
            return [output.numpy() for output in self.run(self.leaves(arrays))]

    def gradients(self, arrays: Arrays, weights: Arrays) -> Arrays:
        """Return the gradient of Σ weights · outputs with respect to each array."""
        self.backwards += 1
        leaves = self.leaves(arrays)
        return _weighted_gradient(self.run(leaves), leaves, weights)

    def gradients_twice(self, arrays: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
        """Run forward once and backward twice under `detect_anomaly`; return the gradients of each backward."""
        with detect_anomaly():
            leaves = self.leaves(arrays)
            outputs = self.run(leaves)
            first = [g.copy() for g in _weighted_gradient(outputs, leaves, weights, retain_graph=True)]
            return first, _weighted_gradient(outputs, leaves, weights)

    def repeated_gradient(self, arrays: Arrays, weights: Arrays, first: int, second: int) -> Any:
        """Return the gradient with respect to one object that is passed as two of the inputs."""
        leaves = self.leaves(arrays)
        leaves[second] = leaves[first]
        return _weighted_gradient(self.run(leaves), [leaves[first]], weights)[0]

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the data of parameters and of unchecked Tensors at the end."""
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
    """The gradient function of a subject: (its arrays, incoming gradients) → gradients of its arrays.

    Args:
        base: the subject whose gradient is the function.
        weights: the incoming gradients at the point.
    """

    def __init__(self, base: Subject, weights: Arrays) -> None:
        self.base = base
        self.order = base.order + 1
        self.evaluations = base.evaluations
        self.backwards = base.backwards
        self.input_count = 0  # no two of these arrays can be one object, so none counts as an input
        self.names = base.names + [f"incoming {i}" for i in range(len(weights))]
        self.arrays = base.arrays + weights

    def leaves(self, arrays: Arrays) -> list[Tensor]:
        """Return the leaves of the base, and a new one for each incoming gradient."""
        count = len(self.base.arrays)
        leaves = self.base.leaves(arrays[:count])
        device = leaves[0].device
        return leaves + [Tensor(_on_device(a, device), requires_grad=True) for a in arrays[count:]]

    def run(self, leaves: list[Tensor], create_graph: bool = True) -> list[Tensor]:
        """Run the base forward and backward, and return the gradient of each of its arrays."""
        count = len(self.base.arrays)
        outputs = self.base.run(leaves[:count])
        return differentiate(outputs, leaves[:count], leaves[count:], create_graph, retain_graph=None)

    def evaluate(self, arrays: Arrays) -> Arrays:
        """Return the gradient of each array of the base, as backward computes it if no graph is recorded."""
        self.evaluations += 1
        return [gradient.numpy() for gradient in self.run(self.leaves(arrays), create_graph=False)]


def _function_of_pair(forward: Any, backward: Any, positions: list[int]) -> type[Function]:
    """Return a Function that calls a pair of NumPy functions.

    Args:
        forward: forward(*inputs) → array, or a tuple of arrays.
        backward: backward(incoming, *inputs) → gradients, where incoming is an array, or a tuple for several outputs.
        positions: which inputs are floating; backward returns a gradient for each of these, or for every input.
    """

    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.inputs_of_forward = inputs
            outputs = forward(*inputs)
            return tuple(outputs) if isinstance(outputs, tuple | list) else np.asarray(outputs)

        @staticmethod
        def backward(ctx: Any, *incoming: Tensor) -> Any:
            inputs = ctx.inputs_of_forward
            arrays = tuple(gradient.data for gradient in incoming)
            results = backward(arrays[0] if len(arrays) == 1 else arrays, *inputs)
            gradients = [Tensor(np.asarray(result)) for result in _as_list(results)]
            if len(gradients) != len(positions):
                return tuple(gradients)
            of_input: list[Tensor | None] = [None] * len(inputs)
            for i, gradient in zip(positions, gradients, strict=True):
                of_input[i] = gradient
            return tuple(of_input)

    return Pair


def differentiate(
    outputs: list[Tensor], leaves: list[Tensor], incoming: list[Tensor], create_graph: bool, retain_graph: bool | None
) -> list[Tensor]:
    """Return the gradient of each leaf; zeros where the outputs do not depend on it.

    Args:
        outputs: outputs of the function.
        leaves: what to differentiate with respect to.
        incoming: a gradient for each output, of its shape.
        create_graph: record the computation of the gradients.
        retain_graph: keep the graph for another backward; None: as create_graph.
    """
    roots, seeds = [], []
    for output, seed in zip(outputs, incoming, strict=True):
        if output.requires_grad:
            roots.append(output)
            seeds.append(seed)
    return list(grad(roots, leaves, seeds, create_graph, retain_graph, allow_unused=True))


def argument_names(function: Any, count: int) -> list[str]:
    """Return the names of the first `count` parameters of a function; "input I" where it has no name for one."""
    skipped = 0
    if isinstance(function, type):
        function, skipped = function.forward, 1  # type: ignore[attr-defined]  # the first parameter is ctx
    elif isinstance(function, Module):
        function = function.forward
    try:
        parameters = list(inspect.signature(function).parameters.values())[skipped:]
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return named + [f"input {i}" for i in range(len(named), count)]


def _is_floating(x: Any) -> bool:
    return isinstance(x, Tensor | np.ndarray) and x.dtype.kind == "f"


def _as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _host_copy(x: Any, dtype: str) -> Any:
    return to_device(x.data if isinstance(x, Tensor) else x, "cpu").astype(dtype, order="C")


def _on_device(array: Any, device: str) -> Any:
    # NumPy arithmetic turns arrays of shape () into scalars: make it an array again.
    return to_device(np.asarray(array), device)


def _weighted_gradient(
    outputs: list[Tensor], leaves: list[Tensor], weights: Arrays, retain_graph: bool | None = None
) -> Arrays:
    """Return the gradient of Σ weights · outputs with respect to each leaf, as arrays on the CPU."""
    incoming = [Tensor(_on_device(weight, leaves[0].device)) for weight in weights]
    gradients = differentiate(outputs, leaves, incoming, create_graph=False, retain_graph=retain_graph)
    return [gradient.numpy() for gradient in gradients]
