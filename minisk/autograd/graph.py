"""The graph: one Node for each recorded operation, with edges to where the gradients of its inputs go.

    y = x · w       y ──edge──▶ Node(mul) ──edge──▶ x       Edges lead from a result towards the leaves,
                                    └──────edge──▶ w       as gradients do.

A Node owns a Context, which keeps the data that the operation's backward needs. Freeing the Node drops it.
"""

from __future__ import annotations

import enum
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..backend import array_module
from ..errors import DtypeError, GraphError, NotFiniteError, OverwrittenError, SavedValueError, ShapeError
from . import anomaly, grad_mode
from .observers import observers
from .tensor import Hook, Tensor

if TYPE_CHECKING:
    from .function import Function

Slot: TypeAlias = tuple[int, int]  # identifies where a gradient arrives: id of a node or leaf, index of the output
ArraySpec: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]  # shape and dtype


@dataclass(slots=True, eq=False)
class OutputEdge:
    """An edge to output `index` of `node`; spec: the shape and dtype of that output."""

    node: Node
    index: int
    slot: Slot
    spec: ArraySpec


@dataclass(slots=True, eq=False)
class LeafEdge:
    """An edge to a leaf, a Tensor that no recorded operation computed; spec: its shape and dtype."""

    leaf: Tensor
    slot: Slot
    spec: ArraySpec


Edge: TypeAlias = OutputEdge | LeafEdge


def edge_to(tensor: Tensor) -> Edge:
    """Return the edge that leads to where the gradient of this Tensor goes."""
    return tensor.edge or LeafEdge(tensor, (id(tensor), 0), (tensor.data.shape, tensor.data.dtype))


class Role(enum.Enum):
    """The role of a saved array in the operation that saved it."""

    INPUT = "input"
    OUTPUT = "output"
    INTERMEDIATE = "intermediate"  # neither: a second derivative can't know how it depends on the inputs


class SavedTensor:
    """An array saved for backward, its role, and how it looked when it was saved.

    Args:
        array: the array that forward saved.
        role: input, output, or neither.
        owner: the input or output Tensor that holds it; None for an intermediate or an input that is no Tensor.
        edge: of an input, where its gradient goes.
    """

    __slots__ = ("array", "checksum", "edge", "output", "role", "version", "writes")

    def __init__(self, array: Any, role: Role, owner: Tensor | None = None, edge: Edge | None = None) -> None:
        # NumPy returns results of shape () as scalars; the Tensor holds an array.
        self.array = array if owner is None else owner.data
        self.role = role
        self.edge = edge
        self.version = None if owner is None else owner.version
        self.writes = 0 if owner is None else owner.version.writes
        self.checksum = anomaly.checksum(self.array) if anomaly.state.enabled else None
        # The node owns this object. An edge to an input leads on, away from the node; an edge to an output would lead
        # back to it, a cycle that keeps a dropped graph alive. So the node of an output is referred to weakly.
        self.output: tuple[weakref.ref[Node], int] | None = None
        if role is Role.OUTPUT and owner is not None and owner.edge is not None:
            self.output = weakref.ref(owner.edge.node), owner.edge.index

    def unpack(self, ctx: Context, position: int) -> Tensor:
        """Return the array, saved in this position of ctx, as a Tensor at its place in the graph.

        Raises:
            GraphError: it was changed since, or a derivative would miss what it depends on.
        """
        self._check(ctx, position)
        edge = self.edge
        if self.output is not None and (node := self.output[0]()) is not None:
            index = self.output[1]
            edge = OutputEdge(node, index, (id(node), index), node.outputs[index])
        if isinstance(edge, LeafEdge):
            return edge.leaf
        tensor = Tensor(self.array, version=self.version)
        if edge is not None and self.array.dtype.kind == "f":
            tensor.edge = edge
            tensor._requires_grad = True
        return tensor

    def _check(self, ctx: Context, position: int) -> None:
        if self.version is not None and self.version.writes != self.writes:
            name, advice = ctx._name(position), "change a copy instead, or call backward first"
            raise SavedValueError(f"{name} was changed in place after the operation ran; {advice}")
        if self.checksum is not None and self.checksum != anomaly.checksum(self.array):
            name = ctx._name(position)
            raise SavedValueError(f"{name} was written to through .data or .numpy() after the operation ran")
        if self.role is Role.INTERMEDIATE and grad_mode.state.enabled and self.array.dtype.kind == "f":
            name = ctx._name(position)
            advice = "compute it from inputs in backward, or set it as an attribute of ctx if it is a constant"
            missed = "so a second derivative would miss how it depends on them"
            raise GraphError(f"{name} is neither input nor output, {missed}; {advice}")


class Context:
    """The data that one call of an operation keeps for its backward: the `ctx` of forward and backward.

    Attributes set in forward (`ctx.axis = axis`) can be read in backward. They are constants to any derivative.
    Names that begin with `_` are reserved.

    needs_input_grad: for each input, whether its gradient is used; backward may return None for the others. An
        operation makes use of this if one operand is often a constant (a number, the input images), as in mul, div,
        matmul and conv2d. One whose inputs are all activations, such as axpy, computes every gradient.
    """

    if TYPE_CHECKING:  # the attributes that forward sets

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    _materializes_grads = True  # whether backward gets zeros for an output that has no gradient
    _called_at = ""  # in anomaly mode, a clause that names the user's line which called the operation
    _saved: tuple[Any, ...] = ()  # the arguments of save_for_backward; a SavedTensor for each, if there is a Node

    def __init__(self, operation: str, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._operation = operation

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep inputs and outputs of forward for backward. A later change in place is found and is an error.

        None, an optional input that was not given, comes back as None. Anything else makes `apply` raise DtypeError.
        """
        self._saved = arrays

    def set_materialize_grads(self, value: bool) -> None:
        """Set whether backward gets zeros (the default) or None for an output that was not used, as in PyTorch."""
        self._materializes_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What forward saved: a Tensor in the graph for each array. Raises GraphError if one was changed since."""
        return tuple([None if saved is None else saved.unpack(self, i) for i, saved in enumerate(self._saved)])

    def _name(self, position: int) -> str:
        shape = self._saved[position].array.shape
        return f"backward of {self._operation!r}: saved array {position} of shape {shape}{self._called_at}"


_births = itertools.count()


class Node:
    """One recorded call of an operation.

    Attributes:
        function: the Function class. `operation` is its name.
        ctx: the Context, with the data that its backward needs; None once the node is freed.
        edges: for each input, where its gradient goes; None if it needs none.
        outputs: shape and dtype of each output.
        hooks: for an output index, the functions to call with its gradient, each under a key of its own.
        retained: for an output index, the Tensor that keeps its gradient: see Tensor.retain_grad.
        birth: a serial number. A node is always younger than the nodes its edges lead to.
    """

    __slots__ = ("__weakref__", "birth", "ctx", "edges", "function", "hooks", "outputs", "retained")

    def __init__(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], outputs: Sequence[Tensor]
    ) -> None:
        self.function = function
        self.ctx: Context | None = ctx
        self.birth = next(_births)
        self.edges = tuple([edge_to(x) if isinstance(x, Tensor) and x._requires_grad else None for x in inputs])
        self.outputs: tuple[ArraySpec, ...] = tuple([(out.data.shape, out.data.dtype) for out in outputs])
        self.hooks: dict[int, dict[object, Hook]] = {}
        self.retained: dict[int, weakref.ref[Tensor]] = {}
        if anomaly.state.enabled:
            ctx._called_at = f", called at {anomaly.user_line()},"
        for index, out in enumerate(outputs):
            if out.data.dtype.kind == "f":
                out.edge = OutputEdge(self, index, (id(self), index), self.outputs[index])
                out._requires_grad = True

    @property
    def operation(self) -> str:
        return self.function.operation

    @property
    def saved(self) -> tuple[SavedTensor, ...]:
        """The arrays saved for backward; none once the node is freed."""
        return () if self.ctx is None else tuple([saved for saved in self.ctx._saved if saved is not None])

    def free(self) -> None:
        """Release the saved arrays and the edges. A later backward through this node is an error."""
        self.ctx = None
        self.edges = ()
        self.hooks = {}
        self.retained = {}

    def run_backward(self, gradients: list[Tensor | None], needs_input_grad: tuple[bool, ...]) -> list[Tensor | None]:
        """Call the operation's backward and check its results.

        Args:
            gradients: one for each output, None for one that was not used; at least one is a Tensor.
            needs_input_grad: for each input, whether its gradient will be used.

        Returns:
            One gradient for each input, in the input's shape and dtype; None where backward returned None.

        Raises:
            GraphError, DtypeError, ShapeError: naming the operation, if the results are not that.
        """
        if self.ctx is None:
            raise GraphError(f"backward: the graph at {self.operation!r} was freed while another thread ran backward")
        for observer in observers:
            observer.before_backward(self, gradients)
        incoming = _with_zeros(gradients, self.outputs) if self.ctx._materializes_grads else gradients
        before = _checksums(incoming) if anomaly.state.enabled else None
        self.ctx.needs_input_grad = needs_input_grad
        returned = self.function.backward(self.ctx, *incoming)
        if before is not None and before != _checksums(incoming):
            where = self.ctx._called_at
            raise OverwrittenError(f"backward of {self.operation!r}{where} overwrote its incoming gradient")
        results = list(returned) if isinstance(returned, tuple) else [returned]
        if len(results) != len(self.edges):
            counts = f"{len(results)} gradients for {len(self.edges)} inputs"
            raise GraphError(f"backward of {self.operation!r} returned {counts}")
        for i, result in enumerate(results):
            edge = self.edges[i]
            if result is not None and needs_input_grad[i] and edge is not None:
                self._check(result, i, edge.spec)
        for observer in observers:
            observer.after_backward(self, gradients, results)
        return results

    def _check(self, gradient: Any, i: int, expected: ArraySpec) -> None:
        is_right = isinstance(gradient, Tensor) and (gradient.data.shape, gradient.data.dtype) == expected
        if is_right and not anomaly.state.enabled:
            return
        name = f"backward of {self.operation!r}: gradient of input {i}"
        if not isinstance(gradient, Tensor):
            raise DtypeError(f"{name} is a {type(gradient).__name__}, expected a Tensor")
        shape, dtype = expected
        if gradient.data.shape != shape:
            raise ShapeError(f"{name} has shape {gradient.shape}, but the input has {shape}")
        if gradient.data.dtype != dtype:
            raise DtypeError(f"{name} has dtype {gradient.dtype}, but the input has {dtype}")
        if not array_module(gradient.data).isfinite(gradient.data).all():
            assert self.ctx is not None
            raise NotFiniteError(f"{name}{self.ctx._called_at} is NaN or infinite")


def _checksums(gradients: Sequence[Tensor | None]) -> list[int]:
    return [anomaly.checksum(gradient.data) for gradient in gradients if gradient is not None]


def _with_zeros(gradients: Sequence[Tensor | None], outputs: Sequence[ArraySpec]) -> Sequence[Tensor | None]:
    """Return the gradients, with zeros for those that did not arrive. At least one did."""
    arrived = [gradient for gradient in gradients if gradient is not None]
    if len(arrived) == len(gradients):
        return gradients
    xp = array_module(arrived[0].data)
    return [Tensor(xp.zeros(*zeros)) if g is None else g for g, zeros in zip(gradients, outputs, strict=True)]
