"""Reverse-mode differentiation over the recorded graph.

`backward` and `grad` visit the nodes from young to old. A node is always younger than the nodes its edges lead to, so
this is a topological order, found without recursion. The gradient of an output is complete when its node is visited,
because every node that used the output is younger. `backward` of an operation works on Tensors; with create_graph its
own operations are recorded, which gives derivatives of any order.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from .. import kernels
from ..backend import array_module
from ..errors import GraphError, ShapeError
from . import grad_mode
from .grad_mode import GradMode
from .graph import Edge, LeafEdge, Node, Slot, edge_to
from .tensor import Hook, Tensor

Gradients: TypeAlias = dict[Slot, Tensor]


class Reachable(NamedTuple):
    """The part of the graph that some Tensors were computed by: nodes, oldest first, and leaves."""

    nodes: list[Node]
    leaves: list[Tensor]


def backward(
    root: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add the gradient of root to `.grad` of every leaf. See `Tensor.backward`, which calls this."""
    seeds = [(root, _seed(root, gradient))]
    graph = reachable([root])
    gradients = _propagate(graph, seeds, None, retain_graph, create_graph)
    with GradMode(create_graph):
        for leaf in graph.leaves:
            if (leaf_gradient := gradients.get(LeafEdge(leaf).slot)) is not None:
                accumulate_grad(leaf, leaf_gradient)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradient of the outputs with respect to each input; `.grad` stays unchanged.

    Args:
        outputs: Tensors of any shape, or one.
        inputs: Tensors that the outputs were computed from, leaves or not.
        grad_outputs: a gradient for each output, in its shape and dtype; None counts as 1 and needs a single element.
        create_graph: record the computation, so that the gradients can be differentiated.
        retain_graph: keep the graph for another backward (default: as create_graph).
        allow_unused: return zeros for an input that the outputs do not depend on, instead of raising GraphError.

    Returns:
        A tuple with one Tensor for each input, in its shape and dtype.

    Raises:
        GraphError: if the derivative cannot be computed.
        ShapeError: if grad_outputs do not fit the outputs.
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        given: list[Tensor | None] = [None] * len(roots)
    else:
        given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if len(given) != len(roots):
        raise ShapeError(f"grad: {len(given)} grad_outputs for {len(roots)} outputs")
    seeds = [(root, _seed(root, gradient)) for root, gradient in zip(roots, given, strict=True)]
    slots = [edge_to(x).slot for x in targets]
    gradients = _propagate(reachable(roots), seeds, set(slots), retain_graph, create_graph)
    results = []
    for i, (x, slot) in enumerate(zip(targets, slots, strict=True)):
        if slot not in gradients and not allow_unused:
            unused = f"the outputs do not depend on input {i} of shape {x.shape} (or it needs no gradient)"
            raise GraphError(f"grad: {unused}")
        results.append(gradients[slot] if slot in gradients else Tensor(array_module(x.data).zeros(x.shape, x.dtype)))
    return tuple(results)


def _seed(root: Tensor, gradient: Tensor | None) -> Tensor:
    """Check that the root can be differentiated, and return the gradient to start from: by default, 1."""
    if not root.requires_grad:
        if root.untracked:
            raise GraphError(f"backward: this tensor was computed by {root.untracked!r} under no_grad: no graph")
        raise GraphError("backward: this tensor does not require gradients, nor does anything it was computed from")
    if gradient is None:
        if root.size != 1:
            raise ShapeError(f"backward: a tensor of shape {root.shape} needs a gradient of that shape to start from")
        return Tensor(array_module(root.data).ones(root.shape, root.dtype))
    if gradient.shape != root.shape or gradient.dtype != root.dtype:
        seen, expected = f"{gradient.shape} {gradient.dtype}", f"{root.shape} {root.dtype}"
        raise ShapeError(f"backward: gradient {seen} must match the tensor {expected}")
    return gradient


def reachable(roots: list[Tensor]) -> Reachable:
    """Return all nodes and leaves that the roots were computed from. Raises GraphError if a node was freed."""
    nodes: dict[int, Node] = {}
    leaves: dict[int, Tensor] = {}
    to_visit: list[Edge] = [edge_to(root) for root in roots]
    while to_visit:
        edge = to_visit.pop()
        if isinstance(edge, LeafEdge):
            leaves[id(edge.leaf)] = edge.leaf
        elif id(edge.node) not in nodes:
            node = edge.node
            if node.ctx is None:
                freed = f"backward: the graph at {node.operation!r} was freed by an earlier backward"
                raise GraphError(f"{freed}; pass retain_graph=True to the earlier one")
            nodes[id(node)] = node
            to_visit.extend([edge for edge in node.edges if edge is not None])
    return Reachable(sorted(nodes.values(), key=lambda node: node.birth), list(leaves.values()))


def _propagate(
    graph: Reachable,
    seeds: list[tuple[Tensor, Tensor]],
    targets: set[Slot] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> Gradients:
    """Run backward of each node, and return the complete gradients of all targets and leaves.

    Args:
        seeds: pairs of a root and the gradient to start from.
        targets: the slots whose gradients are needed; None: those of all leaves.
    """
    retain = create_graph if retain_graph is None else retain_graph
    needed = None if targets is None else _slots_above(graph.nodes, targets)
    pending: Gradients = {}  # for each slot, the sum of the gradients that have arrived so far
    complete: Gradients = {}
    with GradMode(create_graph):
        for root, seed in seeds:
            _add(pending, edge_to(root).slot, seed)
        for node in reversed(graph.nodes):
            hooks = node.hooks or {}
            gradients = [_take(pending, (id(node), i), hooks.get(i)) for i in range(len(node.outputs))]
            if targets is not None:
                complete.update(_targets_of(node, gradients, targets))
            if any([gradient is not None for gradient in gradients]):
                _pass_on(pending, node, gradients, needed, retain)
        for leaf in graph.leaves:
            slot = LeafEdge(leaf).slot
            if (gradient := _take(pending, slot, leaf.hooks)) is not None:
                complete[slot] = gradient
    return complete


def _targets_of(node: Node, gradients: list[Tensor | None], targets: set[Slot]) -> Gradients:
    """Return the gradients of the node's outputs that are targets."""
    slots = [(id(node), i) for i in range(len(gradients))]
    return {slot: g for slot, g in zip(slots, gradients, strict=True) if g is not None and slot in targets}


def _pass_on(
    pending: Gradients, node: Node, gradients: list[Tensor | None], needed: set[Slot] | None, retain: bool
) -> None:
    """Run the node's backward, and add each result to the pending gradients, unless no result is needed."""
    needs_grad = tuple([edge is not None and (needed is None or edge.slot in needed) for edge in node.edges])
    if True not in needs_grad:
        return
    results = node.run_backward(gradients, needs_grad)
    for edge, needs, result in zip(node.edges, needs_grad, results, strict=True):
        if needs and edge is not None and result is not None:
            _add(pending, edge.slot, result)
    if not retain:
        node.free()


def _slots_above(nodes: list[Node], targets: set[Slot]) -> set[Slot]:
    """Return the targets, and every slot whose gradient contributes to that of a target.

    Args:
        nodes: the graph, oldest first.
    """
    slots = set(targets)
    for node in nodes:
        if any(edge is not None and edge.slot in slots for edge in node.edges):
            slots.update((id(node), i) for i in range(len(node.outputs)))
    return slots


def _add(pending: Gradients, slot: Slot, gradient: Tensor) -> None:
    before = pending.get(slot)
    pending[slot] = gradient if before is None else sum_of(before, gradient)


def _take(pending: Gradients, slot: Slot, hooks: Sequence[Hook] | None) -> Tensor | None:
    """Remove a complete gradient from pending and return it, as the hooks changed it; None if none arrived."""
    gradient = pending.pop(slot, None)
    if gradient is not None and hooks:
        for hook in tuple(hooks):
            replaced = hook(gradient)
            gradient = gradient if replaced is None else replaced
    return gradient


def accumulate_grad(tensor: Tensor, gradient: Tensor) -> None:
    """Add to the Tensor's `.grad`, whose memory the Tensor owns: the first gradient is copied, never a view."""
    if tensor.grad is not None:
        tensor.grad = sum_of(tensor.grad, gradient)
    else:
        tensor.grad = gradient if gradient.requires_grad else Tensor(gradient.data.copy())


def sum_of(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b, two gradients of one Tensor; recorded only if the sum has to be differentiated in turn."""
    is_recorded = grad_mode.state.enabled and (a.requires_grad or b.requires_grad)
    return a + b if is_recorded else Tensor(kernels.add(a.data, b.data))
