"""The autograd graph of a Tensor as a picture: operations, shapes, sizes, and the arrays saved for backward.

    ms.draw_graph(loss)                               DOT text, no library needed
    ms.draw_graph(loss, "graph.svg", params=model)    a picture, drawn by Graphviz

Data flows from top to bottom: leaves, operations, result. The darker an operation, the more bytes it saves.
DOT: https://graphviz.org/doc/info/lang.html
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Node, Tensor
from ..autograd.engine import reachable
from ..autograd.graph import LeafEdge, OutputEdge
from ..backend import Array, storage
from ..errors import GraphError, MiniskError
from ..nn import Module
from ..serialization import atomic_write

FORMATS = ("dot", "svg", "png")
LARGE = 40  # beyond this many operations: named leaves are listed inside operations, operations framed by layer
FRAMED = 30  # the most operations in a frame
LISTED = 6  # the most leaves, and the most saved arrays, listed in an operation

_LEAF_COLOUR, _RESULT_COLOUR = "#e3ecf7", "#dff0d8"
_SAVING_COLOURS = ("#ffffff", "#fdf0e0", "#fbdcb8", "#f8c48c", "#f4a860")  # from no bytes to the most


def draw_graph(
    y: Tensor,
    path: str | Path | None = None,
    format: str | None = None,
    params: Module | Mapping[str, Tensor] | None = None,
) -> str:
    """Return the graph that computed y as DOT text, and write it to a file if a path is given.

    Every operation shows its outputs' shapes and sizes, and each array that it saves for backward. Memory that several
    operations save is counted once. A leaf is not counted: it exists anyway.

    Args:
        y: a Tensor of any shape that a recorded operation computed.
        path: the file to write.
        format: "dot", "svg" or "png"; default: the path's suffix, or "dot". svg and png need Graphviz's program `dot`.
        params: a Module, or Tensors by name. Leaves are labelled with these names, operations with their layer.

    Raises:
        GraphError: y was not recorded, or its graph was freed by a backward.
        MiniskError: the format is not known or has no path, or Graphviz is missing or failed.
        OSError: the file cannot be written.
    """
    chosen = format or ("dot" if path is None else Path(path).suffix[1:])
    if chosen not in FORMATS:
        raise MiniskError(f"draw_graph: format {chosen!r} is not known: expected one of {', '.join(FORMATS)}")
    if path is None and chosen != "dot":
        raise MiniskError(f"draw_graph: format {chosen!r} needs a path to write to")
    if y.edge is None:
        raise GraphError("draw_graph: this tensor was not computed by a recorded operation, so it has no graph")
    dot = _to_dot(_Drawing(y, params))
    if path is not None:
        atomic_write(path, dot.encode() if chosen == "dot" else _run_graphviz(dot, chosen))
    return dot


def _run_graphviz(dot: str, format: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        advice = "install Graphviz (apt install graphviz), or write format 'dot'"
        raise MiniskError(f"draw_graph: format {format!r} needs the program `dot`; {advice}")
    done = subprocess.run([program, f"-T{format}"], input=dot.encode(), capture_output=True, check=False)
    if done.returncode:
        raise MiniskError(f"draw_graph: `dot` failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


# --- What is drawn --------------------------------------------------------------------------------------------


@dataclass
class _Saved:
    """Arrays that an operation keeps for backward.

    label: a leaf's name, a role ("input", "output", "intermediate"), or the name of an attribute of ctx.
    size: bytes that neither a leaf nor an earlier operation holds.
    note: why these are fewer than the arrays' own; empty if they are not.
    """

    label: str
    arrays: list[Array]
    size: int = 0
    note: str = ""


@dataclass
class _Operation:
    """A recorded operation, the module that it belongs to ("" if unknown), and the arrays that it keeps."""

    node: Node
    name: str
    layer: str = ""
    has_parameter: bool = False
    saved: list[_Saved] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(saved.size for saved in self.saved)


class _Drawing:
    """The graph of y: operations, oldest first, and leaves in the order of their first use."""

    def __init__(self, y: Tensor, params: Module | Mapping[str, Tensor] | None) -> None:
        self.y = y
        try:
            nodes = reachable([y]).nodes
        except GraphError:
            advice = "draw it before, or pass retain_graph=True to backward"
            raise GraphError(f"draw_graph: the graph was freed by a backward; {advice}") from None
        self.operations = [_Operation(node, f"n{i}") for i, node in enumerate(nodes)]
        self.by_node = {id(operation.node): operation for operation in self.operations}
        self.leaves: dict[int, Tensor] = {}  # by id
        for operation in self.operations:
            for leaf in _leaves_of(operation.node):
                self.leaves.setdefault(id(leaf), leaf)
        self.is_large = len(self.operations) > LARGE
        self.lists: set[str] = set()  # modules without a forward, such as ModuleList
        named: dict[str, Tensor] = {}
        if isinstance(params, Module):
            named = {**dict(params.named_parameters()), **dict(params.named_buffers())}
            self.lists = {name for name, part in params.named_modules() if type(part).forward is Module.forward}
        elif params is not None:
            named = dict(params)
        self.names = {id(tensor): name for name, tensor in named.items()}
        self._find_saved(named)
        for operation in self.operations:
            self._find_layer(operation)
        self.most = max(operation.size for operation in self.operations)
        self.frames = self._find_frames()  # by name of an operation

    def is_listed(self, leaf: Tensor) -> bool:
        """Whether a leaf is listed inside the operations that use it, instead of having a box."""
        return self.is_large and id(leaf) in self.names

    def _find_saved(self, named: Mapping[str, Tensor]) -> None:
        """List the arrays that each operation keeps, and count their bytes where nothing else holds them."""
        owners = {id(storage(leaf.data)): "leaf" for leaf in self.leaves.values()}
        owners |= {id(storage(tensor.data)): name for name, tensor in named.items()}
        counted: set[int] = set()
        for operation in self.operations:
            operation.saved = [_Saved(saved.role.value, [saved.array]) for saved in operation.node.saved]
            for name, value in vars(operation.node.ctx).items():
                arrays = [] if name.startswith("_") else list(_arrays_in(value))
                if arrays:
                    operation.saved.append(_Saved(name, arrays))
            for saved in operation.saved:
                for array in saved.arrays:
                    memory = id(storage(array))
                    if memory in owners:
                        saved.note = "no copy"
                        saved.label = owners[memory] if len(saved.arrays) == 1 else saved.label
                    elif memory in counted:
                        saved.note = "shared"
                    else:
                        saved.size += array.nbytes
                    counted.add(memory)

    def _find_layer(self, operation: _Operation) -> None:
        """Set an operation's layer: that of its parameter, else the module around its youngest input's layer."""
        edges = operation.node.edges
        inputs = [self.by_node[id(edge.node)] for edge in edges if isinstance(edge, OutputEdge)]
        names = [self.names[id(leaf)] for leaf in _leaves_of(operation.node) if id(leaf) in self.names]
        layers = [name.rpartition(".")[0] for name in names]
        # An operation of a parameter alone, such as the transpose of a weight, stands for that parameter.
        layers += [other.layer for other in inputs if other.has_parameter and _has_only_leaves(other.node)]
        if layers:
            operation.layer, operation.has_parameter = layers[0], True
        elif inputs:
            youngest = max(inputs, key=lambda other: other.node.birth)
            operation.layer = youngest.layer
            if youngest.has_parameter:
                operation.layer = operation.layer.rpartition(".")[0]
            while operation.layer and operation.layer in self.lists:
                operation.layer = operation.layer.rpartition(".")[0]

    def _find_frames(self) -> dict[str, str]:
        """Return, for each operation, the largest module around it that has at most FRAMED operations, or ""."""
        counts: dict[str, int] = {}
        for operation in self.operations:
            for module in _modules_around(operation.layer):
                counts[module] = counts.get(module, 0) + 1
        frames = {}
        for operation in self.operations:
            small = [module for module in _modules_around(operation.layer) if counts[module] <= FRAMED]
            frames[operation.name] = small[0] if small and self.is_large else ""
        return frames


def _leaves_of(node: Node) -> list[Tensor]:
    return [edge.leaf for edge in node.edges if isinstance(edge, LeafEdge)]


def _has_only_leaves(node: Node) -> bool:
    return all(isinstance(edge, LeafEdge) for edge in node.edges)


def _modules_around(layer: str) -> list[str]:
    """Return the dotted names of a layer and the modules around it, outermost first."""
    parts = layer.split(".") if layer else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _arrays_in(value: Any) -> Iterator[Array]:
    """Yield an array, or the arrays in a tuple or list."""
    if hasattr(value, "nbytes") and hasattr(value, "base"):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _arrays_in(item)


# --- As DOT ---------------------------------------------------------------------------------------------------


def _to_dot(drawing: _Drawing) -> str:
    total = _bytes(sum(operation.size for operation in drawing.operations))
    title = f"{len(drawing.operations)} operations; {total} saved for backward; {drawing.y.dtype} unless noted"
    boxes = {operation.name: _operation_box(drawing, operation) for operation in drawing.operations}
    numbers = {key: f"l{i}" for i, key in enumerate(drawing.leaves)}
    lines = [
        f'graph [label="{title}", labelloc=t, fontname=Helvetica, fontsize=14, nodesep=0.25, ranksep=0.3]',
        'node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=10, fillcolor=white]',
        "edge [fontname=Helvetica, fontsize=9, arrowsize=0.6]",
    ]
    for key, leaf in drawing.leaves.items():
        if not drawing.is_listed(leaf):
            text = f"<b>{escape(drawing.names.get(key, 'leaf'))}</b><br/>{_size(drawing, leaf)}"
            lines.append(f'{numbers[key]} [label=<{text}>, fillcolor="{_LEAF_COLOUR}"]')
    lines += _framed(drawing, boxes)
    for operation in drawing.operations:
        for edge in operation.node.edges:
            if isinstance(edge, OutputEdge):
                lines.append(_arrow(drawing, edge, operation.name))
            elif edge is not None and not drawing.is_listed(edge.leaf):
                lines.append(f"{numbers[id(edge.leaf)]} -> {operation.name}")
    lines.append(f'y [label=<<b>result</b><br/>{_size(drawing, drawing.y)}>, fillcolor="{_RESULT_COLOUR}"]')
    assert drawing.y.edge is not None
    lines.append(_arrow(drawing, drawing.y.edge, "y"))
    return "\n".join(["digraph {", *[f"  {line}" for line in lines], "}"]) + "\n"


def _operation_box(drawing: _Drawing, operation: _Operation) -> str:
    node = operation.node
    frame = drawing.frames[operation.name]
    layer = operation.layer.removeprefix(frame).removeprefix(".") if frame else operation.layer
    rows = [f"<b>{escape(node.operation)}</b> {escape(layer)}".rstrip()]
    listed = [leaf for leaf in _leaves_of(node) if drawing.is_listed(leaf)]
    rows += _shortened([_leaf_row(drawing, operation, leaf) for leaf in listed], "more leaves")
    for shape, dtype in node.outputs:
        rows.append(f"→ {_shape(drawing, shape, dtype)}, {_bytes(int(np.prod(shape)) * dtype.itemsize)}")
    in_leaf_rows = {drawing.names[id(leaf)] for leaf in listed}
    saved = [_saved_row(drawing, saved) for saved in operation.saved if saved.label not in in_leaf_rows]
    rows += _shortened(saved, "more arrays saved")
    shade = round((len(_SAVING_COLOURS) - 1) * operation.size / max(1, drawing.most))
    return f'{operation.name} [label=<{"<br/>".join(rows)}>, fillcolor="{_SAVING_COLOURS[shade]}"]'


def _leaf_row(drawing: _Drawing, operation: _Operation, leaf: Tensor) -> str:
    name = drawing.names[id(leaf)]
    note = " (saved)" if any(saved.label == name for saved in operation.saved) else ""
    return f"{escape(name.rpartition('.')[2])} {_size(drawing, leaf)}{note}"


def _shortened(rows: list[str], more: str) -> list[str]:
    return rows if len(rows) <= LISTED else [*rows[:LISTED], f"… {len(rows) - LISTED} {more}"]


def _saved_row(drawing: _Drawing, saved: _Saved) -> str:
    note = f" ({saved.note})" if saved.note else ""
    if len(saved.arrays) == 1:
        return f"saves {escape(saved.label)} {_size(drawing, saved.arrays[0])}{note}"
    size = _bytes(sum(array.nbytes for array in saved.arrays))
    return f"saves {escape(saved.label)}: {len(saved.arrays)} arrays, {size}{note}"


def _arrow(drawing: _Drawing, edge: OutputEdge, target: str) -> str:
    label = f' [label="output {edge.index}"]' if len(edge.node.outputs) > 1 else ""
    return f"{drawing.by_node[id(edge.node)].name} -> {target}{label}"


def _framed(drawing: _Drawing, boxes: Mapping[str, str]) -> list[str]:
    """Return the boxes, those of one module inside a frame."""
    frames: dict[str, list[_Operation]] = {}
    for operation in drawing.operations:
        frames.setdefault(drawing.frames[operation.name], []).append(operation)
    lines = []
    for i, (module, operations) in enumerate(frames.items()):
        inside = [boxes[operation.name] for operation in operations]
        if module:
            title = f"{escape(module)}: {_bytes(sum(operation.size for operation in operations))} saved"
            lines.append(f"subgraph cluster_{i} {{")
            lines.append(f'  label=<{title}>; labeljust=l; color="#999999"; fontsize=12')
            lines += [f"  {box}" for box in inside]
            lines.append("}")
        else:
            lines += inside
    return lines


def _size(drawing: _Drawing, array: Array | Tensor) -> str:
    return f"{_shape(drawing, array.shape, array.dtype)}, {_bytes(array.size * array.dtype.itemsize)}"


def _shape(drawing: _Drawing, shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    sizes = "×".join(map(str, shape)) if shape else "scalar"
    return sizes if dtype == drawing.y.dtype else f"{sizes} {dtype}"


def _bytes(count: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
