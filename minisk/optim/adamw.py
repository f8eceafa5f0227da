"""AdamW: Adam with decoupled weight decay.

    w ← w - lr · weight_decay · w
    m ← β₁·m + (1 - β₁)·g              s ← β₂·s + (1 - β₂)·g²
    w ← w - lr · m̂ / (sqrt(ŝ) + eps)   with m̂ = m / (1 - β₁ᵗ), ŝ = s / (1 - β₂ᵗ), t the update count

Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019.
"""

from collections.abc import Iterable
from typing import Any

from ..backend import Array, array_module
from ..errors import ArgumentError, require_numbers
from .optimizer import Group, Optimizer


class AdamW(Optimizer):
    """Adam with decoupled weight decay.

    Args:
        params: Tensors, or groups of them (see Optimizer).
        lr: learning rate, at least 0.
        betas: β₁ and β₂, the shares of mean and squared mean that are kept at each step, in [0, 1).
        eps: added to the square root, at least 0.
        weight_decay: times the learning rate, the share of the weight that is subtracted at each step; at least 0.

    Raises:
        ArgumentError: see Optimizer.
    """

    state_names = ("mean", "square")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check_settings(self, group: Group) -> None:
        require_numbers("AdamW", lr=group["lr"], eps=group["eps"], weight_decay=group["weight_decay"])
        if not isinstance(group["betas"], list | tuple) or len(group["betas"]) != 2:
            raise ArgumentError(f"AdamW: betas {group['betas']!r} must be two numbers")
        require_numbers("AdamW", below=1, beta1=group["betas"][0], beta2=group["betas"][1])

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        beta1, beta2 = group["betas"]
        mean, square = state["mean"], state["square"]
        weight *= 1 - group["lr"] * group["weight_decay"]
        mean *= beta1
        mean += (1 - beta1) * grad
        square *= beta2
        square += (1 - beta2) * grad * grad
        deviation = array_module(weight).sqrt(square / (1 - beta2**step))
        weight -= group["lr"] / (1 - beta1**step) * mean / (deviation + group["eps"])
