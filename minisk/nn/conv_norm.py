"""A convolution with its batch norm: two operations in training, one in evaluation.

In evaluation, batch norm is one scale and one bias for each channel. A convolution's kernel applies them to its sums
while these are still in registers, so no further kernel reads and writes the planes.
"""

from .. import ops
from ..autograd import Tensor, is_grad_enabled
from ..autograd.observers import observers
from ..kernels.dispatch import is_any_replaced
from ..ops.autocast import is_autocast_enabled
from .batchnorm import BatchNorm2d
from .conv import Conv2d
from .module import Module


def conv_norm(conv: Module, norm: Module, x: Tensor) -> Tensor:
    """Return norm(conv(x)).

    One operation computes both, where no more than rounding differs: in evaluation mode, without gradients, of a Conv2d
    and a BatchNorm2d that have no hooks, while no block observes operations or replaces kernels.

    Args:
        conv: the first module.
        norm: the second; it takes what the first returns.
        x: the first one's input.
    """
    if type(conv) is Conv2d and type(norm) is BatchNorm2d and _is_one_operation(conv, norm):
        scale, bias = norm.scale_and_bias()
        settings = conv.stride, conv.padding, conv.dilation, conv.groups
        return ops.conv2d_affine(x, conv.weight, scale, bias, norm.relu, *settings)
    out: Tensor = norm(conv(x))
    return out


def _is_one_operation(conv: Conv2d, norm: BatchNorm2d) -> bool:
    is_fixed = norm.normalize is None and not norm.training
    is_watched = conv.has_hooks() or norm.has_hooks() or observers or is_any_replaced()
    fits = conv.weight.shape[:1] == norm.weight.shape and conv.weight.dtype == norm.weight.dtype
    return is_fixed and fits and conv.bias is None and not (is_watched or is_autocast_enabled() or is_grad_enabled())
