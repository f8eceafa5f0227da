"""Muon: momentum whose matrix is made orthogonal, so that every direction gets a step of the same length.

    v ← momentum · v + grad
    u = grad + momentum · v                                    without nesterov: u = v
    w ← w - lr · weight_decay · w
    w ← w - lr · sqrt(max(1, rows / columns)) · orthogonal(u)

For u = Σ σᵢ·aᵢ·bᵢᵀ (singular values), orthogonal(u) = Σ aᵢ·bᵢᵀ. It is approximated: an odd polynomial, applied a few
times, brings singular values in (0, 1] near 1. No vectors are computed, only products of matrices:

    x = u / |u|;     x ← a·x + (b·A + c·A²)·x  with A = x·xᵀ

Source: Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024.
"""

from collections.abc import Iterable
from typing import Any

from ..autograd import Tensor
from ..backend import Array
from ..errors import ArgumentError, require_integers
from .optimizer import Group, Optimizer
from .sgd import SGD

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0; singular values end between 0.7 and 1.2


class Muon(SGD):
    """Momentum with orthogonal steps, for weights of two axes or more; other parameters are updated as SGD does.

    The weight of a convolution, (O, C, kh, kw), is a matrix of O rows. PyTorch's Muon takes two axes only.

    Args:
        params: Tensors, or groups of them (see Optimizer).
        lr: learning rate, at least 0: the length of a step in each direction.
        momentum: share of the velocity that is kept at each step, in [0, 1).
        weight_decay: times the learning rate, the share of the weight that is subtracted at each step; at least 0.
        nesterov: look ahead along the velocity; needs a momentum.
        ns_steps: how often the polynomial is applied, at least 1.
        groups: of a grouped convolution: its weight is so many matrices, of O / groups rows each.

    Raises:
        ArgumentError: see Optimizer; or groups do not divide the rows of a weight.
        ShapeError: ns_steps or groups is not an integer of at least 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        nesterov: bool = True,
        ns_steps: int = 5,
        groups: int = 1,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        Optimizer.__init__(self, params, **settings, ns_steps=ns_steps, groups=groups)

    def check_settings(self, group: Group) -> None:
        super().check_settings(group)
        require_integers("Muon", ns_steps=group["ns_steps"], groups=group["groups"])
        for x in group["params"]:
            if isinstance(x, Tensor) and x.ndim > 1 and x.shape[0] % group["groups"]:
                raise ArgumentError(f"Muon: {group['groups']} groups do not divide the {x.shape[0]} rows of {x.shape}")

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        if weight.ndim < 2:
            return super().update(weight, grad, group, step, **state)
        lr, momentum, velocity = group["lr"], group["momentum"], state["velocity"]
        velocity *= momentum
        velocity += grad
        ahead = grad + momentum * velocity if group["nesterov"] else velocity
        matrices = ahead.reshape(group["groups"], len(weight) // group["groups"], -1)
        rows, columns = matrices.shape[1:]
        weight *= 1 - lr * group["weight_decay"]
        weight -= lr * max(1.0, rows / columns) ** 0.5 * orthogonal(matrices, group["ns_steps"]).reshape(weight.shape)


def orthogonal(matrices: Array, steps: int) -> Array:
    """Return the nearest matrices whose singular values are 1, nearly: 0.7 to 1.2.

    Args:
        matrices: (count, rows, columns), floating.
        steps: how often the polynomial is applied. A singular value below 0.3 to that power of the norm stays small.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.swapaxes(1, 2) if is_tall else matrices  # the smaller product of the two
    norm = (x * x).sum(axis=(1, 2), keepdims=True) ** 0.5
    x = x / (norm + 1e-7)
    for _ in range(steps):
        product = x @ x.swapaxes(1, 2)
        x = a * x + (b * product + c * product @ product) @ x
    return x.swapaxes(1, 2) if is_tall else x
