"""Export: a network as a file of another framework."""

from .onnx import export_onnx
from .onnx_graph import OnnxGraph
from .onnx_operations import writes

__all__ = ["OnnxGraph", "export_onnx", "writes"]
