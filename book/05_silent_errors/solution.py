"""Exercise 5, solved."""

import numpy as np

import minisk as ms

PREDICTIONS = {
    "write_to_saved": "error",
    "write_to_unsaved": "right",
    "write_to_view": "error",
    "write_to_copy": "right",
    "raw_write": "wrong",
    "raw_write_watched": "error",
    "step_too_early": "error",
    "second_backward": "error",
    "second_call": "wrong",
    "scale_without_graph": "wrong",
    "numpy_in_between": "wrong",
    "comparison": "right",
}


def write_to_saved(x):
    y = x.exp()
    z = (y * y).sum()
    with ms.no_grad():
        y[0] = 0.0
    z.backward()
    return x.grad, 2 * np.exp(2 * x.numpy())


def write_to_unsaved(x):
    y = x * 2
    z = (y + 1).sum()
    with ms.no_grad():
        y[0] = 0.0
    z.backward()
    return x.grad, np.array([2.0, 2.0, 2.0])


def write_to_view(x):
    y = x * 2
    z = (y * y).sum()
    first_two = y[:2]
    with ms.no_grad():
        first_two[0] = 0.0
    z.backward()
    return x.grad, 8 * x.numpy()


def write_to_copy(x):
    y = x * 2
    z = (y * y).sum()
    copy = ms.tensor(y.detach())
    copy[0] = 0.0
    z.backward()
    return x.grad, 8 * x.numpy()


def raw_write(x):
    y = x * 2
    z = (y * y).sum()
    y.data[0] = 0.0
    z.backward()
    return x.grad, 8 * x.numpy()


def raw_write_watched(x):
    with ms.detect_anomaly():
        y = x * 2
        z = (y * y).sum()
        y.data[0] = 0.0
        z.backward()
    return x.grad, 8 * x.numpy()


def step_too_early(x):
    before = x.numpy().copy()
    y = (x * x).sum()
    (gradient,) = ms.grad(y, x, retain_graph=True)
    with ms.no_grad():
        x -= 0.1 * gradient
    y.backward()
    return x.grad, 2 * before


def second_backward(x):
    y = (x * x).sum()
    y.backward()
    x.grad = None
    y.backward()
    return x.grad, 2 * x.numpy()


def second_call(x):
    (x * x).sum().backward()
    (x * x).sum().backward()
    return x.grad, 2 * x.numpy()


def scale_without_graph(x):
    with ms.no_grad():
        scale = 1 / x.sum()
    (x * x * scale).sum().backward()
    total = x.numpy().sum()
    return x.grad, 2 * x.numpy() / total - (x.numpy() ** 2).sum() / total**2


def numpy_in_between(x):
    y = x * ms.tensor(np.sin(x.numpy()))
    y.sum().backward()
    return x.grad, np.sin(x.numpy()) + x.numpy() * np.cos(x.numpy())


def comparison(x):
    large = x > 1.5
    (x * x * large.to(x.dtype)).sum().backward()
    return x.grad, 2 * x.numpy() * (x.numpy() > 1.5)
