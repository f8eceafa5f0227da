"""ONNX: run a network once, write down each of its operations, check the file, and save it.

    ms.export_onnx(model.eval(), ms.randn(1, 3, 224, 224), "model.onnx")

An observer of `Function.apply` sees the operations; `onnx_operations.py` says how each is written. The batch stays
open. The network runs twice, with batches of two sizes and other values, and both graphs must be equal: so nothing in
the file depends on the batch that it was traced with.

Opset 17 and IR 8 are stated, not the newest: runtimes since 2022 read them.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import ops
from ..autograd import Function, Node, Observer, Tensor, no_grad, observe
from ..errors import MiniskError
from ..nn import Module
from ..serialization import atomic_write
from .onnx_graph import INPUT, OUTPUT, OnnxGraph, OnnxNode
from .onnx_operations import WRITERS

OPSET, IR_VERSION = 17, 8


def export_onnx(
    model: Module,
    example: Tensor,
    path: str | Path,
    *,
    normalization: Mapping[str, Sequence[float]] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Write a network to an ONNX file, with weights, for batches of any size.

    Args:
        model: in evaluation mode; takes one Tensor and returns one, both with the batch as first axis.
        example: a batch of at least one input, in the model's dtype; the other axes get its sizes.
        path: the file; it is replaced in one step.
        normalization: `mean` and `std` per channel, in 0 … 1. If given, the file takes pixels (N, 3, H, W) of 0 … 255
            in the model's dtype, and normalises them as `data.normalize` does.
        metadata: texts, or values that become JSON, for the file's metadata.

    Returns:
        The onnx.ModelProto that was written. Its input is `images`, its output `logits`.

    Raises:
        MiniskError: onnx is missing, a module is in training mode, an operation has no ONNX form here, a value depends
            on the size of the batch or was not computed by operations, or the file cannot be written.
    """
    onnx = _import_onnx()
    if any(module.training for module in model.modules()):
        raise MiniskError("export_onnx: the model is in training mode; call model.eval() first")
    if example.ndim < 1 or example.shape[0] < 1:
        raise MiniskError(f"export_onnx: example {example.shape} must hold at least one input")
    graph, logits = _trace(model, example, normalization)
    with no_grad():
        larger = 1 - ops.concatenate([example, example[:1]])
    _require_open_batch(graph, logits, example, *_trace(model, larger, normalization))
    proto = _to_proto(graph, example, logits, type(model).__name__, metadata or {})
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise MiniskError(f"export_onnx: onnx's checker refuses the graph: {first_line}") from error
    try:
        atomic_write(path, proto.SerializeToString())
    except OSError as error:
        raise MiniskError(f"export_onnx: {path} can't be written: {error.strerror or error}") from error
    return proto


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.shape_inference
    except ImportError as error:
        raise MiniskError('export_onnx needs onnx: pip install "minisk[onnx]"') from error
    return onnx


class _Recorder(Observer):
    """Adds each operation that runs to a graph."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph

    def after_forward(
        self,
        function: type[Function],
        inputs: tuple[Any, ...],
        settings: dict[str, Any],
        outputs: tuple[Tensor, ...],
        node: Node | None,
    ) -> None:
        if function not in WRITERS:
            missing = f"the operation {function.operation!r} has no ONNX form here"
            raise MiniskError(f"export_onnx: {missing}; minisk.export.writes adds one")
        written = WRITERS[function](self.graph, *inputs, **settings)
        for tensor, name in zip(outputs, (written,) if isinstance(written, str) else written, strict=True):
            self.graph.set_name(tensor, name)


def _trace(
    model: Module, example: Tensor, normalization: Mapping[str, Sequence[float]] | None
) -> tuple[OnnxGraph, Tensor]:
    """Return the graph of one forward, and what it returned."""
    graph = OnnxGraph(model)
    graph.set_name(example, INPUT if normalization is None else _normalized(graph, normalization, example))
    with no_grad(), observe(_Recorder(graph)):
        logits = model(example)
    if not isinstance(logits, Tensor) or logits.ndim < 1:
        seen = f"a tensor of shape {logits.shape}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise MiniskError(f"export_onnx: the model returned {seen}, expected one tensor with the batch as first axis")
    graph.nodes.append(OnnxNode("Identity", (graph.name(logits),), OUTPUT, {}))
    return graph, logits


def _normalized(graph: OnnxGraph, normalization: Mapping[str, Sequence[float]], example: Tensor) -> str:
    """Add x · 1/(255 std) - mean/std, the formula of `data.normalize`, and return the name of its result."""
    mean, std = (np.asarray(normalization[key], np.float64).reshape(-1, 1, 1) for key in ("mean", "std"))
    scaled = graph.add("Mul", INPUT, (1 / (255 * std)).astype(example.dtype))
    return graph.add("Add", scaled, (-mean / std).astype(example.dtype))


def _require_open_batch(
    graph: OnnxGraph, logits: Tensor, example: Tensor, other: OnnxGraph, other_logits: Tensor
) -> None:
    """Raise MiniskError unless the graphs of two batch sizes are equal, and the output's first axis is the batch."""
    reason = "only values that operations compute from the images, with the batch as an axis of its own, are exported"
    for node, counterpart in itertools.zip_longest(graph.nodes, other.nodes):
        if node != counterpart:
            place = node or counterpart
            raise MiniskError(f"export_onnx: {place.output} depends on the size of the batch: {reason}")
        for name in node.inputs:
            if name in graph.constants and not np.array_equal(graph.constants[name], other.constants[name]):
                shape = graph.constants[name].shape
                raise MiniskError(f"export_onnx: an input of {node.output}, of shape {shape}, is no constant: {reason}")
    if logits.shape[0] != example.shape[0] or other_logits.shape[0] != example.shape[0] + 1:
        raise MiniskError(f"export_onnx: the output {logits.shape} must have the batch as first axis")


def _to_proto(graph: OnnxGraph, example: Tensor, logits: Tensor, name: str, metadata: Mapping[str, Any]) -> Any:
    """Return the graph as an onnx.ModelProto."""
    from onnx import helper, numpy_helper

    def described(value: str, tensor: Tensor) -> Any:
        dtype = helper.np_dtype_to_tensor_dtype(tensor.dtype)
        return helper.make_tensor_value_info(value, dtype, ("batch", *tensor.shape[1:]))

    nodes = [helper.make_node(n.operator, n.inputs, [n.output], name=n.output, **n.attributes) for n in graph.nodes]
    constants = [numpy_helper.from_array(array, value) for value, array in graph.constants.items()]
    made = helper.make_graph(nodes, name, [described(INPUT, example)], [described(OUTPUT, logits)], constants)
    proto = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minisk",
    )
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    helper.set_model_props(proto, texts)
    return proto
