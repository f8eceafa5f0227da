"""Reverse-mode differentiation over the recorded graph.

`backward` and `grad` visit the nodes from young to old. A node is always younger than the nodes its edges lead to, so
this is a topological order, found without recursion. The gradient of an output is complete when its node is visited,
because every node that used the output is younger. `backward` of an operation works on Tensors; with create_graph its
own operations are recorded, which gives derivatives of any order.
"""

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .. import kernels
from ..backend import array_module
from ..errors import DtypeError, GraphError, ShapeError
from . import grad_mode
from .grad_mode import Mode
from .graph import Edge, LeafEdge, Node, Slot, edge_to
from .tensor import Hook, Tensor, require_like

Pending: TypeAlias = dict[Slot, Tensor]  # the sum of the gradients that have arrived so far
Complete: TypeAlias = dict[Slot, Tensor | None]  # for each target its gradient; None before it is complete
Seeds: TypeAlias = list[tuple[Slot, Tensor]]  # the gradients to start from, and where they arrive


class Reachable(NamedTuple):
    """The part of the graph that some Tensors were computed by: nodes, oldest first, and leaves by their slots."""

    nodes: list[Node]
    leaves: dict[Slot, Tensor]


def backward(
    root: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add the gradient of root to `.grad` of every leaf. See `Tensor.backward`, which calls this."""
    seeds = [_seed(root, gradient)]
    graph = reachable([root])
    gradients = _propagate(graph, seeds, graph.leaves, retain_graph, create_graph)
    with Mode(grad_mode.state, create_graph):
        for slot, leaf in graph.leaves.items():
            is_lent = _is_lent(gradients, slot)
            if (complete := gradients.pop(slot)) is not None:
                accumulate_grad(leaf, complete, is_lent)


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
    roots, sources = _as_list("outputs", outputs), _as_list("inputs", inputs)
    given = [None] * len(roots) if grad_outputs is None else _as_list("grad_outputs", grad_outputs, or_none=True)
    if len(given) != len(roots):
        raise ShapeError(f"grad: {len(given)} grad_outputs for {len(roots)} outputs")
    seeds = [_seed(root, gradient) for root, gradient in zip(roots, given, strict=True)]
    slots = [edge_to(x).slot for x in sources]
    gradients = _propagate(reachable(roots), seeds, slots, retain_graph, create_graph)
    results = []
    for i, (x, slot) in enumerate(zip(sources, slots, strict=True)):
        gradient = gradients[slot]
        if gradient is None and not allow_unused:
            unused = f"the outputs do not depend on input {i} of shape {x.shape} (or it needs no gradient)"
            raise GraphError(f"grad: {unused}")
        results.append(Tensor(array_module(x.data).zeros(x.shape, x.dtype)) if gradient is None else gradient)
    return tuple(results)


def _as_list(name: str, given: Any, or_none: bool = False) -> list[Any]:
    """Return one Tensor or several as a list. Raises DtypeError, naming the argument, for anything else."""
    listed = [given] if isinstance(given, Tensor) or not isinstance(given, Iterable) else list(given)
    for x in listed:
        if not isinstance(x, Tensor) and not (or_none and x is None):
            raise DtypeError(f"grad: {name}: expected Tensors, got a {type(x).__name__}")
    return listed


def _seed(root: Tensor, gradient: Tensor | None) -> tuple[Slot, Tensor]:
    """Check that the root can be differentiated; return its slot and the gradient to start from: by default, 1."""
    if not root.requires_grad:
        if root.untracked:
            raise GraphError(f"backward: this tensor was computed by {root.untracked!r} under no_grad: no graph")
        raise GraphError("backward: this tensor does not require gradients, nor does anything it was computed from")
    if gradient is None:
        if root.size != 1:
            raise ShapeError(f"backward: a tensor of shape {root.shape} needs a gradient of that shape to start from")
        gradient = Tensor(array_module(root.data).ones(root.shape, root.dtype))
    require_like("backward", gradient, root)
    return edge_to(root).slot, gradient


def reachable(roots: list[Tensor]) -> Reachable:
    """Return all nodes and leaves that the roots were computed from. Raises GraphError if a node was freed."""
    nodes: dict[int, Node] = {}
    leaves: dict[Slot, Tensor] = {}
    to_visit: list[Edge] = [edge_to(root) for root in roots]
    while to_visit:
        edge = to_visit.pop()
        if isinstance(edge, LeafEdge):
            leaves[edge.slot] = edge.leaf
        elif id(edge.node) not in nodes:
            node = edge.node
            if node.ctx is None:
                freed = f"backward: the graph at {node.operation!r} was freed by an earlier backward"
                raise GraphError(f"{freed}; pass retain_graph=True to the earlier one")
            nodes[id(node)] = node
            to_visit.extend([edge for edge in node.edges if edge is not None])
    return Reachable(sorted(nodes.values(), key=lambda node: node.birth), leaves)


def _propagate(
    graph: Reachable, seeds: Seeds, targets: Iterable[Slot], retain_graph: bool | None, create_graph: bool
) -> Complete:
    """Run backward of each node that leads to a target; return the gradient of each target, None if none arrived."""
    retain = create_graph if retain_graph is None else retain_graph
    complete: Complete = dict.fromkeys(targets)
    needed = _ids_above(graph.nodes, complete)
    pending: Pending = {}
    missing = _edges_to_hooked_leaves(graph)
    with Mode(grad_mode.state, create_graph):
        for slot, seed in seeds:
            _add(pending, slot, seed)
        for node in reversed(graph.nodes):
            gradients = [_take(pending, complete, (id(node), i), node.hooks.get(i)) for i in range(len(node.outputs))]
            for i, reference in node.retained.items():
                if (kept := gradients[i]) is not None and (tensor := reference()) is not None:
                    accumulate_grad(tensor, kept)
            edges = node.edges
            needs_grad = tuple([edge is not None and edge.slot[0] in needed for edge in edges])
            if True in needs_grad and any([gradient is not None for gradient in gradients]):
                _pass_on(pending, node, gradients, needs_grad)
                if not retain:
                    node.free()
            if missing:
                _settle(edges, missing, pending, complete)
        for slot, leaf in graph.leaves.items():
            _take(pending, complete, slot, leaf.hooks)
    return complete


def _edges_to_hooked_leaves(graph: Reachable) -> dict[Slot, int]:
    """Return, for each leaf with hooks, how many edges lead to it: its gradient is complete once all were visited."""
    if not any([leaf.hooks for leaf in graph.leaves.values()]):
        return {}
    counts = {slot: 0 for slot, leaf in graph.leaves.items() if leaf.hooks}
    for node in graph.nodes:
        for edge in node.edges:
            if edge is not None and edge.slot in counts:
                counts[edge.slot] += 1
    return counts


def _settle(edges: Sequence[Edge | None], missing: dict[Slot, int], pending: Pending, complete: Complete) -> None:
    """Call the hooks of leaves whose last edge is one of these, while backward goes on: data parallelism sends then."""
    for edge in edges:
        if isinstance(edge, LeafEdge) and edge.slot in missing:
            missing[edge.slot] -= 1
            if missing[edge.slot] == 0:
                _take(pending, complete, edge.slot, edge.leaf.hooks)


def _pass_on(pending: Pending, node: Node, gradients: list[Tensor | None], needs_grad: tuple[bool, ...]) -> None:
    """Run the node's backward, and add each result that is needed to the pending gradients."""
    for edge, needs, result in zip(node.edges, needs_grad, node.run_backward(gradients, needs_grad), strict=True):
        if needs and edge is not None and result is not None:
            _add(pending, edge.slot, result)


def _ids_above(nodes: list[Node], targets: Iterable[Slot]) -> set[int]:
    """Return the ids of the targets' nodes and leaves, and of every node whose gradients contribute to a target's.

    Args:
        nodes: the graph, oldest first.
    """
    needed = {owner for owner, _ in targets}
    for node in nodes:
        for edge in node.edges:
            if edge is not None and edge.slot[0] in needed:
                needed.add(id(node))
                break
    return needed


def _add(pending: Pending, slot: Slot, gradient: Tensor) -> None:
    before = pending.get(slot)
    pending[slot] = gradient if before is None else sum_of(before, gradient)


def _take(pending: Pending, complete: Complete, slot: Slot, hooks: dict[object, Hook] | None) -> Tensor | None:
    """Remove a gradient from pending and return it, as the hooks changed it; note it in complete if it is a target's.

    Returns None if no gradient arrived.
    """
    gradient = pending.pop(slot, None)
    if gradient is not None:
        for hook in tuple((hooks or {}).values()):
            replaced = hook(gradient)
            if replaced is not None:
                require_like("hook", replaced, gradient)
                gradient = replaced
        if slot in complete:
            complete[slot] = gradient
    return gradient


_accumulation = threading.Lock()  # several threads may run backward into one leaf


def _renew_lock() -> None:
    """Replace the lock in a forked child: a thread that the child does not have may have held it."""
    global _accumulation
    _accumulation = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _is_lent(gradients: Complete, slot: Slot) -> bool:
    """Return whether a leaf must copy this gradient: others may refer to its memory, or use a part of it.

    Python counts two references to what only one place refers to: that place's, and that of the call which counts.
    """
    if gradients[slot] is None or sys.getrefcount(gradients[slot]) > 2:
        return True
    held: Any = gradients[slot]
    if sys.getrefcount(held.data) > 2 or not held.data.flags.c_contiguous:
        return True
    if held.data.base is None:
        return False
    return getattr(held.data.base, "nbytes", 0) != held.data.nbytes or sys.getrefcount(held.data.base) > 2


def accumulate_grad(tensor: Tensor, gradient: Tensor, is_lent: bool = True) -> None:
    """Add to the Tensor's `.grad`, whose memory the Tensor owns: a first gradient that is lent is copied."""
    with _accumulation:
        if tensor.grad is not None:
            tensor.grad = sum_of(tensor.grad, gradient)
        else:
            is_kept = not is_lent or (gradient.requires_grad and grad_mode.state.enabled)
            tensor.grad = gradient if is_kept else Tensor(gradient.data.copy())


def sum_of(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b, two gradients of one Tensor; recorded only if the sum has to be differentiated in turn."""
    # Most sums are not recorded. They need no broadcasting, so they take the kernel, which runs on several threads.
    is_recorded = grad_mode.state.enabled and (a.requires_grad or b.requires_grad)
    return a + b if is_recorded else Tensor(kernels.add(a.data, b.data))
