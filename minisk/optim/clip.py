"""Gradient clipping by the norm of all gradients together.

    norm = sqrt(Σ_p Σ g_p²)        g_p ← g_p · max_norm / norm   where norm > max_norm

Source: Pascanu et al., *On the difficulty of training recurrent neural networks*, 2013.
"""

import math
from collections.abc import Iterable

import numpy as np

from ..autograd import Tensor
from ..backend import array_module
from ..errors import MiniskError, require_numbers
from .optimizer import as_list


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, *, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients in place by min(1, max_norm / (norm + 1e-6)), and return the norm before, as PyTorch does.

    The scale stays on the device, so a GPU is not synchronised.

    Args:
        parameters: one Tensor or several; those without a gradient are skipped.
        max_norm: upper bound of the norm, at least 0; infinity for no bound.
        error_if_nonfinite: raise an error instead of scaling if the norm is NaN or infinite; synchronises a GPU.

    Returns:
        The norm, a float64 Tensor of shape ().

    Raises:
        ArgumentError: max_norm is out of range, or parameters cannot be iterated over.
        MiniskError: error_if_nonfinite is set, and the norm is NaN or infinite.
    """
    if max_norm != math.inf:
        require_numbers("clip_grad_norm_", max_norm=max_norm)
    owners = [parameters] if isinstance(parameters, Tensor) else as_list("clip_grad_norm_", parameters)
    norm = gradient_norm(owners)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise MiniskError(f"clip_grad_norm_: the norm of the gradients is {norm.item()}")
    scale = array_module(norm.data).minimum(1.0, max_norm / (norm.data + 1e-6))
    for parameter in owners:
        if parameter.grad is not None:
            parameter.grad.data[...] *= scale.astype(np.promote_types(parameter.grad.dtype, np.float32))
            parameter.grad.mark_written()
    return norm


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients together, a float64 Tensor of shape (), on their device.

    The squares are summed in float64: in float32, that of 1e20 would be infinite, and that of 1e-25 would be 0.
    """
    gradients = [parameter.grad.data for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return Tensor(np.zeros(()))
    xp = array_module(gradients[0])
    wide = (gradient.astype(np.float64, copy=False) for gradient in gradients)
    return Tensor(xp.asarray(xp.sqrt(xp.stack([xp.vdot(gradient, gradient) for gradient in wide]).sum())))


def clip_gradients(parameters: Iterable[Tensor], norm: float, max_norm: float, scale: float = 1.0) -> None:
    """Divide all gradients by `scale` in place, and make their norm at most max_norm, for a norm that is already known.

    Args:
        parameters: those without a gradient are skipped.
        norm: the norm of the gradients divided by scale. If it is NaN or infinite, nothing is clipped.
        max_norm: upper bound of the norm; 0 for no bound.
        scale: the factor of a scaled loss.
    """
    factor = max_norm / norm if max_norm and max_norm < norm < math.inf else 1.0
    factor /= scale
    if factor != 1.0:
        scale_gradients(parameters, factor)


def scale_gradients(parameters: Iterable[Tensor], factor: float) -> None:
    """Multiply all gradients by a factor, in place; parameters without a gradient are skipped."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.data[...] *= factor
            parameter.grad.mark_written()
