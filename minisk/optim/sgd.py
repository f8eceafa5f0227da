"""SGD: stochastic gradient descent with momentum, as PyTorch defines it.

    g = grad + weight_decay · w
    v ← momentum · v + g
    w ← w - lr · v                     Nesterov: w ← w - lr · (g + momentum · v)

Source: Sutskever et al., *On the importance of initialization and momentum in deep learning*, 2013.
"""

from collections.abc import Iterable
from typing import Any

from .. import kernels
from ..backend import Array
from ..errors import ArgumentError, require_numbers
from .optimizer import Group, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    Args:
        params: Tensors, or groups of them (see Optimizer).
        lr: learning rate, at least 0.
        momentum: share of the velocity that is kept at each step, in [0, 1).
        weight_decay: added to the gradient, times the weight; at least 0.
        nesterov: look ahead along the velocity; needs a momentum.

    Raises:
        ArgumentError: see Optimizer.
    """

    state_names = ("velocity",)

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def check_settings(self, group: Group) -> None:
        owner = type(self).__name__
        require_numbers(owner, lr=group["lr"], weight_decay=group["weight_decay"])
        require_numbers(owner, below=1, momentum=group["momentum"])
        if group["nesterov"] and not group["momentum"]:
            raise ArgumentError(f"{owner}: nesterov has no effect with momentum 0")

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        lr, momentum, weight_decay = group["lr"], group["momentum"], group["weight_decay"]
        kernels.sgd_momentum(weight, grad, state["velocity"], lr, momentum, weight_decay, group["nesterov"])
