"""The way back: gradients travel from a result along the record to the leaves.

A node is always younger than the nodes it points at, so visiting nodes from young to old is a topological order:
no recursion, however long the chain. `backward` of an operation works on Tensors; under `create_graph` its own work
is recorded in turn, which gives derivatives of any order.
"""

from collections.abc import Sequence

from ..backend import array_module
from ..errors import GraphError, ShapeError
from .function import Edge, Node, Slot, add_to_grad, edge_of, slot_of, sum_of, switch_mode
from .tensor import Hook, Tensor

Pending = dict[Slot, Tensor]  # the gradients that have come so far
Found = dict[Slot, tuple[Edge, Tensor]]


def _differentiate(
    roots: list[tuple[Tensor, Tensor]], wanted: set[Slot] | None, retain_graph: bool | None, create_graph: bool
) -> Found:
    """Return the gradient of the roots with respect to every wanted slot (None: every leaf).

    roots: pairs of a Tensor and the gradient that enters there.
    """
    nodes, leaves = _reachable([root for root, _ in roots])
    useful = _useful(nodes, wanted)
    pending: Pending = {}
    found: Found = {}
    retain = create_graph if retain_graph is None else retain_graph
    with switch_mode("grad", create_graph):
        for root, seed in roots:
            _add(pending, edge_of(root), seed)
        for node in reversed(nodes):
            gradients = [_arrived(pending, node, i) for i in range(len(node.outputs))]
            for i, gradient in enumerate(gradients):
                if wanted is not None and (id(node), i) in wanted and gradient is not None:
                    found[id(node), i] = (node, i), gradient
            if id(node) in useful and any([gradient is not None for gradient in gradients]):
                edges = tuple(edge if _is_wanted(edge, wanted, useful) else None for edge in node.edges)
                _pass_on(pending, node, gradients, edges)
                if not retain:
                    node.free()
        for leaf in leaves:
            gradient = pending.get(slot_of(leaf))
            if gradient is not None:
                found[slot_of(leaf)] = leaf, _call_hooks(gradient, leaf.hooks)
    return found


def _reachable(roots: list[Tensor]) -> tuple[list[Node], list[Tensor]]:
    """Return all nodes the roots were computed by, oldest first, and all leaves below them."""
    nodes: dict[int, Node] = {}
    leaves: dict[int, Tensor] = {}
    to_visit: list[Edge] = [edge_of(root) for root in roots]
    while to_visit:
        edge = to_visit.pop()
        if isinstance(edge, Tensor):
            leaves[id(edge)] = edge
        elif id(edge[0]) not in nodes:
            node = edge[0]
            if node.freed:
                freed = f"backward: the graph at {node.operation!r} was freed by an earlier backward"
                raise GraphError(f"{freed}; pass retain_graph=True to the earlier one")
            nodes[id(node)] = node
            to_visit.extend(edge for edge in node.edges if edge is not None)
    return sorted(nodes.values(), key=lambda node: node.birth), list(leaves.values())


def _useful(nodes: list[Node], wanted: set[Slot] | None) -> set[int]:
    """Return the ids of the nodes (given oldest first) that some wanted slot lies behind."""
    if wanted is None:  # a node is recorded only if some leaf lies behind it
        return {id(node) for node in nodes}
    useful: set[int] = set()
    for node in nodes:
        if any(_is_wanted(edge, wanted, useful) for edge in node.edges):
            useful.add(id(node))
    return useful


def _is_wanted(edge: Edge | None, wanted: set[Slot] | None, useful: set[int]) -> bool:
    if edge is None:
        return False
    return wanted is None or slot_of(edge) in wanted or (not isinstance(edge, Tensor) and id(edge[0]) in useful)


def _arrived(pending: Pending, node: Node, index: int) -> Tensor | None:
    """Take out the gradient of one output of a node: all that will come has come. None if nothing did."""
    gradient = pending.pop((id(node), index), None)
    return None if gradient is None else _call_hooks(gradient, node.hooks.get(index, ()))


def _pass_on(pending: Pending, node: Node, gradients: list[Tensor | None], edges: tuple[Edge | None, ...]) -> None:
    """Run a node's backward, and add each result to what is pending where its edge leads."""
    results = node.run(gradients, tuple(edge is not None for edge in edges))
    for edge, result in zip(edges, results, strict=True):
        if edge is not None and result is not None:
            _add(pending, edge, result)


def _add(pending: Pending, edge: Edge, gradient: Tensor) -> None:
    slot = slot_of(edge)
    before = pending.get(slot)
    pending[slot] = gradient if before is None else sum_of(before, gradient)


def _call_hooks(gradient: Tensor, hooks: Sequence[Hook]) -> Tensor:
    for hook in tuple(hooks):
        replaced = hook(gradient)
        gradient = gradient if replaced is None else replaced
    return gradient


def _seed(root: Tensor, gradient: Tensor | None) -> Tensor:
    """Check that the root can be differentiated, and return the gradient to start from."""
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


def accumulate_gradients(root: Tensor, gradient: Tensor | None, retain_graph: bool | None, create_graph: bool) -> None:
    """`Tensor.backward`: add the gradient of root to `.grad` of every leaf."""
    found = _differentiate([(root, _seed(root, gradient))], None, retain_graph, create_graph)
    with switch_mode("grad", create_graph):
        for leaf, leaf_gradient in found.values():
            assert isinstance(leaf, Tensor)
            add_to_grad(leaf, leaf_gradient)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradient of the outputs with respect to each input; `.grad` stays untouched.

    grad_outputs: a gradient for each output, in its shape; None means 1 and needs a single element.
    create_graph: record the computation, so that the gradients can be differentiated.
    retain_graph: keep the graph for another backward (default: as create_graph).
    allow_unused: zeros for an input that the outputs do not depend on, instead of GraphError.
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if grad_outputs is None:
        seeds = [None] * len(roots)
    if len(seeds) != len(roots):
        raise ShapeError(f"grad: {len(seeds)} grad_outputs for {len(roots)} outputs")
    started = [(root, _seed(root, seed)) for root, seed in zip(roots, seeds, strict=True)]
    found = _differentiate(started, {slot_of(edge_of(x)) for x in targets}, retain_graph, create_graph)
    return tuple(_found_or_zero(found, x, i, allow_unused) for i, x in enumerate(targets))


def _found_or_zero(found: Found, x: Tensor, i: int, allow_unused: bool) -> Tensor:
    slot = slot_of(edge_of(x))
    if slot in found:
        return found[slot][1]
    if not allow_unused:
        raise GraphError(f"grad: the outputs do not depend on input {i} of shape {x.shape} (or it needs no gradient)")
    return Tensor(array_module(x.data).zeros(x.shape, x.dtype))
