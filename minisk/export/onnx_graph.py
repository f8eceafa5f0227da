"""The graph of an ONNX file while it is built: nodes and constants as plain data, without the package onnx.

A value has a name. A Tensor is recognised by its array, so `x.detach()` has the name of x.
"""

from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from ..backend import Array, to_device
from ..errors import MiniskError
from ..nn import Module

INPUT, OUTPUT = "images", "logits"  # names of the graph's input and output


class OnnxNode(NamedTuple):
    """One operator of ONNX: its name in the standard, the names of its inputs, of its output, and its attributes."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class _Known(NamedTuple):
    """A Tensor that has a name, and the number of writes to its memory at that moment.

    It keeps the array alive: an id identifies an array only while the array lives.
    """

    name: str
    tensor: Tensor
    writes: int


class OnnxGraph:
    """Nodes in the order of execution, and constants by name.

    Args:
        model: its parameters and buffers have their own names; one that no node uses is left out.

    Raises:
        MiniskError: a parameter or buffer has the name of the graph's input or output.

    Attributes:
        nodes: see OnnxNode.
        constants: parameters, buffers and other constants that nodes use.
    """

    def __init__(self, model: Module) -> None:
        self.nodes: list[OnnxNode] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self._known: dict[int, _Known] = {}
        self._stored: set[str] = set()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name in (INPUT, OUTPUT):
                raise MiniskError(f"export_onnx: {name!r} is the graph's input or output, and can't name a parameter")
            self._stored.add(name)
            self.set_name(tensor, name)

    def set_name(self, tensor: Tensor, name: str) -> None:
        """Set the name of a Tensor that was just computed."""
        self._known[id(tensor.data)] = _Known(name, tensor, tensor.version.writes)

    def name(self, x: Tensor | Array) -> str:
        """Return the name of a value: computed by a node, stored in the model, or else a new constant.

        Raises MiniskError if the value was changed in place since it was computed: no node describes the change.
        """
        array = x.data if isinstance(x, Tensor) else np.asarray(x)
        known = self._known.get(id(array))
        if known is None:
            name = f"constant/{len(self.constants)}"
            self._store(name, array)
            return name
        if known.tensor.version.writes != known.writes:
            changed = f"the tensor {known.name} of shape {array.shape} was changed in place during forward"
            raise MiniskError(f"export_onnx: {changed}; use x = x + y instead of x += y")
        if known.name in self._stored:
            self._store(known.name, array)
        return known.name

    def integers(self, *values: int) -> str:
        """Return the name of a constant int64 vector, such as a shape."""
        name = f"integers/{'_'.join(map(str, values))}"
        self._store(name, np.array(values, np.int64))
        return name

    def add(self, operator: str, *inputs: Tensor | Array | str | None, **attributes: Any) -> str:
        """Append a node with one output.

        Args:
            operator: of ONNX's standard, such as "Conv".
            inputs: values, or names of values; None: an optional input that is left out.
            attributes: of the operator.

        Returns:
            The name of the output.
        """
        names = tuple("" if x is None else x if isinstance(x, str) else self.name(x) for x in inputs)
        output = f"{operator}/{len(self.nodes)}"
        self.nodes.append(OnnxNode(operator, names, output, attributes))
        return output

    def _store(self, name: str, array: Array) -> None:
        if name not in self.constants:
            self.constants[name] = np.asarray(to_device(array, "cpu"), order="C")
