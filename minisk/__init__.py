"""minisk: a small tensor and autograd framework on NumPy and CuPy that trains Selective Kernel Networks.

    import minisk as ms

    x = ms.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    x.grad  # tensor([2., 4.])

Packages and tools that not every program needs (`ms.nn`, `ms.optim`, `ms.gradcheck`, …) are imported on first use.
"""

from . import interrupts  # noqa: F401 (must be first: Ctrl-C may come during the imports)

# isort: split
import importlib
from typing import TYPE_CHECKING, Any

from .backend import cuda_available, empty_cache, manual_seed  # first: sets up OpenBLAS before NumPy is imported

# isort: split
from . import ops
from .autograd import Function, Observer, Tensor, detect_anomaly, enable_grad, grad, is_grad_enabled, no_grad, observe
from .creation import (
    arange,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    randn,
    tensor,
    zeros,
    zeros_like,
)
from .errors import (
    AnomalyError,
    ArgumentError,
    CheckpointError,
    DataError,
    DeviceError,
    DtypeError,
    GradcheckError,
    GraphError,
    KernelError,
    MiniskError,
    NotFiniteError,
    OverwrittenError,
    SavedValueError,
    ShapeError,
)
from .ops.autocast import autocast, is_autocast_enabled
from .saving import load, save

if TYPE_CHECKING:  # imported on first use, by __getattr__
    from . import cuda, data, kernels, models, nn, optim
    from .analysis.graph import draw_graph
    from .analysis.profiler import Profile, profile
    from .export import export_onnx
    from .gradient_check import GradcheckReport, gradcheck

__version__ = "0.1.0"

# Names that are imported on first use, and where they are defined: a package, or a name in a module.
_PACKAGES = ("cuda", "data", "kernels", "models", "nn", "optim")
_MODULE_OF = {
    "GradcheckReport": ".gradient_check",
    "Profile": ".analysis.profiler",
    "draw_graph": ".analysis.graph",
    "export_onnx": ".export",
    "gradcheck": ".gradient_check",
    "profile": ".analysis.profiler",
}

__all__ = ["cuda", "data", "kernels", "models", "nn", "ops", "optim"]
__all__ += ["Function", "Tensor", "detect_anomaly", "enable_grad", "grad", "is_grad_enabled", "no_grad"]
__all__ += ["autocast", "is_autocast_enabled"]
__all__ += ["arange", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like"]
__all__ += ["rand", "randn", "tensor", "zeros", "zeros_like"]
__all__ += ["cuda_available", "empty_cache", "load", "manual_seed", "save"]
__all__ += ["GradcheckReport", "Observer", "Profile", "draw_graph", "export_onnx", "gradcheck", "observe"]
__all__ += ["profile"]
__all__ += ["AnomalyError", "ArgumentError", "CheckpointError", "DataError", "DeviceError", "DtypeError"]
__all__ += ["GradcheckError", "GraphError", "KernelError", "MiniskError", "NotFiniteError", "OverwrittenError"]
__all__ += ["SavedValueError", "ShapeError"]

if not TYPE_CHECKING:  # a type checker would take every unknown name for one of these

    def __getattr__(name: str) -> Any:
        """Import a package or tool on first use."""
        if name in _PACKAGES:
            return importlib.import_module(f".{name}", __name__)
        if name in _MODULE_OF:
            value = getattr(importlib.import_module(_MODULE_OF[name], __name__), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'minisk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
