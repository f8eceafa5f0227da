"""One step of SGD with momentum, as PyTorch defines it.

    g = grad + weight_decay · weight      v ← momentum · v + g      weight ← weight - lr · (g + momentum · v, or v)

The sum g + momentum · v is Nesterov's variant.
"""

from ...backend import Array


def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """Update weight and velocity in place."""
    g = grad + weight_decay * weight if weight_decay else grad
    velocity *= momentum
    velocity += g
    weight -= lr * (g + momentum * velocity if nesterov else velocity)
