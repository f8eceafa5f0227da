"""minisk: a small tensor and autograd framework on NumPy and CuPy that trains Selective Kernel Networks.

import minisk as ms

x = ms.tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
x.grad  # tensor([2., 4.])
"""

from .backend import cuda_available, manual_seed  # first: it has a word with NumPy's threads before NumPy is loaded

# isort: split
from . import ops
from .autograd.engine import grad
from .errors import AnomalyError, CheckpointError, DataError, DeviceError, DtypeError

# isort: split
from .analysis.profiler import Profile, profile
from .autograd.function import Function, detect_anomaly, is_grad_enabled, no_grad
from .autograd.tensor import Tensor, tensor
from .errors import GradcheckError, GraphError, KernelError, MiniskError, ShapeError
from .gradient_check import GradcheckReport, gradcheck

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "DtypeError",
    "Function",
    "GradcheckError",
    "GradcheckReport",
    "GraphError",
    "KernelError",
    "MiniskError",
    "Profile",
    "ShapeError",
    "Tensor",
    "cuda_available",
    "detect_anomaly",
    "grad",
    "gradcheck",
    "is_grad_enabled",
    "manual_seed",
    "no_grad",
    "ops",
    "profile",
    "tensor",
]
