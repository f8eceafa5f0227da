"""Tensors, the graph that operations record, and reverse-mode differentiation over it."""

from .engine import grad
from .function import Function, detect_anomaly, is_grad_enabled, no_grad
from .tensor import Axis, Hook, Operand, Tensor

__all__ = [
    "Axis",
    "Function",
    "Hook",
    "Operand",
    "Tensor",
    "detect_anomaly",
    "grad",
    "is_grad_enabled",
    "no_grad",
]
