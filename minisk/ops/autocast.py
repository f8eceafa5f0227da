"""Mixed precision: the dtypes that operations compute in while parameters stay float32.

    conv2d, linear, matmul                               operands are cast to float16; sums are float32 inside
    softmax, log_softmax, cross_entropy, exp, log        operands are cast to float32
    all others                                           the widest floating dtype that they are given

A cast's backward casts back, so the gradient of a float32 parameter is float32. Batch norm takes float16 images with
float32 scale and bias. Source: Micikevicius et al., *Mixed Precision Training*, 2018; PyTorch's torch.autocast.
"""

from typing import Any

import numpy as np

from ..autograd.grad_mode import Mode, State

HALF = np.dtype(np.float16)
NARROW = frozenset({"conv2d", "linear", "matmul"})
WIDE = frozenset({"softmax", "log_softmax", "cross_entropy", "exp", "log"})

state = State(False)


def autocast(enabled: bool = True) -> Mode:
    """Return a context in which operations compute in mixed precision: `with ms.autocast(): …`, or a decorator.

    It is meant for the forward pass and the loss; call backward outside. Gradients below 6e-8 are 0 in float16: scale
    the loss (`minisk.training.LossScale`). Each thread has its own mode. On a CPU, float16 is slow: use it for tests.
    """
    return Mode(state, enabled)


def is_autocast_enabled() -> bool:
    """Return whether operations compute in mixed precision in this thread."""
    return state.enabled


def dtype_for(operation: str, dtypes: Any) -> np.dtype[Any]:
    """Return the floating dtype in which an operation computes, for operands of these floating dtypes.

    float64 stays: mixed precision is about float32 and float16.
    """
    widest = np.result_type(*dtypes)
    if widest == np.float64:
        return widest
    if operation in NARROW:
        return HALF
    return np.promote_types(widest, np.float32) if operation in WIDE else widest
