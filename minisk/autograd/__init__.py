"""Tensors, the graph that operations record, and reverse-mode differentiation over it.

tensor        Tensor                                engine      backward, grad
function      Function: the base of operations      grad_mode   no_grad, enable_grad
graph         Node, edges, Context, SavedTensor     anomaly     detect_anomaly
observers     Observer, observe

`minisk` itself offers users what they need of these; Context and Node are public for annotations: users receive them
as `ctx` and `tensor.node`, and do not create them.
"""

from .anomaly import detect_anomaly
from .engine import grad
from .function import Function
from .grad_mode import enable_grad, is_grad_enabled, no_grad
from .graph import Context, Node
from .observers import Observer, observe
from .tensor import Axis, Hook, Operand, Tensor

__all__ = ["Axis", "Context", "Function", "Hook", "Node", "Observer", "Operand", "Tensor"]
__all__ += ["detect_anomaly", "enable_grad", "grad", "is_grad_enabled", "no_grad", "observe"]
