"""The weights, data and norms of the exact reference numbers: the same for every model and unit that has them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minisk as ms
from minisk import ops


class Step(NamedTuple):
    """What one training step and one evaluation of a model gave; gradients by the name of their parameter."""

    loss: float
    logits: float
    gradients: dict[str, np.ndarray]
    evaluation_loss: float
    evaluation_logits: float


def norm(*arrays: np.ndarray) -> float:
    return float(np.sqrt(sum((array**2).sum() for array in arrays)))


def fill(model: ms.nn.Module) -> None:
    """Fill all weights from one RandomState(0), in definition order, in float64.

    4-D weights: He normal; 2-D weights: N(0, 0.01²); scales of batch norms: 1; biases: 0.
    """
    random = np.random.RandomState(0)
    model.to(dtype="float64")
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4:
            std = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.data[...] = random.standard_normal(parameter.shape) * std
        elif parameter.ndim == 2:
            parameter.data[...] = random.standard_normal(parameter.shape) * 0.01
        else:
            parameter.data[...] = 1 if name.endswith("weight") else 0


def run_model(model: ms.nn.Module, size: int, images: int = 4, classes: int = 1000) -> Step:
    """Fill a model; evaluate it with running mean 0 and variance 1, then run a training step, on the same images."""
    fill(model)
    random = np.random.RandomState(1)
    x = ms.tensor(random.standard_normal((images, 3, size, size)))
    y = ms.tensor(random.randint(0, classes, images))
    with ms.no_grad():
        model.eval()
        evaluated = model(x)
        evaluation_loss = ops.cross_entropy(evaluated, y).item()
    logits = model.train()(x)
    loss = ops.cross_entropy(logits, y)
    loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    return Step(loss.item(), norm(logits.numpy()), gradients, evaluation_loss, norm(evaluated.numpy()))


def run_unit(unit: Any, shape: tuple[int, ...]) -> tuple[int, float, float, float]:
    """Return a filled unit's parameters, and the norms of its output, of dx and of dθ, for L = Σ out² / (2 · size)."""
    fill(unit)
    x = ms.tensor(np.random.RandomState(1).standard_normal(shape), requires_grad=True)
    out = unit(x)
    ((out * out).sum() / (2 * out.size)).backward()
    parameters = list(unit.parameters())
    of_parameters = norm(*[parameter.grad.numpy() for parameter in parameters])
    return sum(p.size for p in parameters), norm(out.numpy()), norm(x.grad.numpy()), of_parameters
