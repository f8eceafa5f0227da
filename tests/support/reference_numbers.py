"""Weights, data and norms of the reference numbers: a public implementation gave the numbers from the same draws."""

import numpy as np

import minisk as ms
from minisk import models, ops


def fill(module):
    """Fill all parameters from one RandomState(0), in definition order, in float64, and return the module.

    4-D weights are He normal, 2-D weights N(0, 0.01²), scales of batch norm 1, and biases 0. Only weights draw.
    """
    random = np.random.RandomState(0)
    module.to(dtype="float64")
    for name, parameter in module.named_parameters():
        if parameter.ndim == 4:
            std = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.data[...] = random.standard_normal(parameter.shape) * std
        elif parameter.ndim == 2:
            parameter.data[...] = random.standard_normal(parameter.shape) * 0.01
        else:
            parameter.data[...] = 1 if name.endswith("weight") else 0
    return module


def norm(*arrays):
    """Return the Euclidean norm of all elements of all arrays."""
    return np.sqrt(sum(np.vdot(array, array) for array in arrays))


def images_and_labels(images, size, classes=1000):
    """Return the reference's images (N, 3, size, size) and labels (N,)."""
    random = np.random.RandomState(1)
    x = random.standard_normal((images, 3, size, size))
    return ms.tensor(x), ms.tensor(random.randint(0, classes, images))


def run_unit(unit, shape):
    """Return a unit's output shape, and the norms of its output, input gradient and parameter gradients, in training.

    The loss is Σ out² / (2 · size of out), and the input RandomState(1).standard_normal(shape).
    """
    x = ms.tensor(np.random.RandomState(1).standard_normal(shape), requires_grad=True)
    out = unit(x)
    ((out * out).sum() * (0.5 / out.size)).backward()
    gradients = [parameter.grad.numpy() for parameter in unit.parameters()]
    return out.shape, (norm(out.numpy()), norm(x.grad.numpy()), norm(*gradients))


def run_network(model, x, y):
    """Return the numbers of one step in training mode, and of one evaluation.

    They are: loss, norms of logits, of all gradients and of the first weight's gradient; loss and norm of the logits.
    """
    outputs = model(x)
    loss = models.classification_loss(outputs, y)
    loss.backward()
    gradients = [parameter.grad.numpy() for parameter in model.parameters()]
    training = loss.item(), norm(models.logits_of(outputs).numpy()), norm(*gradients), norm(gradients[0])
    return *training, *evaluate(model, x, y)


def evaluate(model, x, y):
    """Return the loss and the norm of the logits in evaluation mode, with running mean 0 and running variance 1."""
    for name, statistics in model.named_buffers():
        statistics.data[...] = 1 if name.endswith("running_var") else 0
    model.eval()
    with ms.no_grad():
        logits = model(x)
        return ops.cross_entropy(logits, y).item(), norm(logits.numpy())
