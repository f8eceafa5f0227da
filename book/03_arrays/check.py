"""The check of exercise 3."""

from types import SimpleNamespace

import numpy as np

import minisk as ms
from book.answers import Wrong

# (shape, shape that it is broadcast to)
BROADCASTS = [((2, 3), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (4, 2, 3))]
PAIRS = [
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((), (2, 2)),
    ((4, 1, 3), (2, 1)),
    ((1,), (5,)),
]


def check(answer):
    (axes,) = answer.predictions("AXES_OF_B")
    check_sum_to(answer.get("sum_to"))
    check_mul(answer.get("Mul"))
    check_prediction(axes)


def check_sum_to(sum_to):
    rng = np.random.default_rng(3)
    for shape, full in BROADCASTS:
        x, g = rng.normal(size=shape), rng.normal(size=full)
        kept = g.copy()
        try:
            result = sum_to(g, shape)
        except ValueError as error:
            raise Wrong(
                f"sum_to from {full} to {shape} raises {type(error).__name__}, {' '.join(str(error).split())}: "
                "write the two shapes one below the other, aligned on the right."
            ) from None
        if result is None:
            raise Wrong("sum_to returns None: is a `return` missing?")
        result = np.asarray(result)
        if result.shape != shape:
            raise Wrong(
                f"sum_to from {full} to {shape} returns shape {result.shape}{hint_for_shape(shape, full, result)}."
            )
        if not np.array_equal(g, kept):
            raise Wrong("sum_to changes the array that it is given; other nodes may still need that gradient.")
        left, right = (np.broadcast_to(x, full) * g).sum(), (x * result).sum()
        if abs(left - right) > 1e-12 * max(1, abs(left)):
            ratio = right / left
            raise Wrong(
                f"sum_to from {full} to {shape} fails the equation of the adjoint: (C·x)·g = {left:.4f}, "
                f"x·(Cᵀ·g) = {right:.4f}{', so it is a mean, not a sum' if 0.1 < ratio < 0.6 else ''}."
            )


def hint_for_shape(shape, full, result):
    """Return what the wrong shape shows."""
    if shape == full:
        return ": nothing was repeated, so there is nothing to sum"
    if result.ndim > len(shape):
        return (
            ": it does not sum" if result.shape == full else f": axes that {shape} lacks must go, not stay with size 1"
        )
    if result.ndim < len(shape):
        return f", but a gradient has the shape of its input: keepdims=True keeps the axes where {shape} has size 1"
    return f": the axes where {shape} has size 1 were repeated too, so sum over them"


def check_mul(mul):
    for shapes in PAIRS:
        check_pair(mul, *shapes)


def check_pair(mul, shape_a, shape_b):
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
    where = f"for shapes {shape_a} and {shape_b}"

    def forward(a, b):
        return mul.forward(SimpleNamespace(), a, b)

    def backward(dout, a, b):
        ctx = SimpleNamespace()
        mul.forward(ctx, a, b)
        gradients = mul.backward(ctx, dout)
        return tuple(gradients) if isinstance(gradients, list) else gradients

    product = forward(a, b)
    if not np.array_equal(product, a * b):
        raise Wrong(f"Mul.forward {where} does not return a · b.")
    dout = rng.normal(size=product.shape)
    gradients = backward(dout, a, b)
    if not isinstance(gradients, tuple | list) or len(gradients) != 2:
        raise Wrong("Mul.backward must return two gradients, of a and of b.")
    check_gradients(gradients, dout, a, b, where)
    report = ms.gradcheck((forward, backward), [a, b], raise_on_failure=False)
    if report.verdict.value != "correct":
        raise Wrong(f"ms.gradcheck says {report.verdict.value!r} {where}: {' '.join(report.message.split())}")


def check_gradients(gradients, dout, a, b, where):
    """Raise Wrong for gradients whose shape or numbers show a mistake that is known by sight."""
    for name, gradient, own, other in (("a", gradients[0], a, b), ("b", gradients[1], b, a)):
        if gradient is None:
            raise Wrong(f"Mul.backward returns None as the gradient of {name}.")
        if np.shape(gradient) != own.shape:
            raise Wrong(
                f"The gradient of {name} has shape {np.shape(gradient)} {where}, but {name} has {own.shape}: call sum_to on the product, last."
            )
        axes = tuple(range(dout.ndim - own.ndim))
        full = dout * other
        right = np.broadcast_to(full, dout.shape).sum(axis=axes)
        repeated = tuple(axis for axis in range(own.ndim) if own.shape[axis] == 1 and right.shape[axis] != 1)
        right = right.sum(axis=repeated, keepdims=True)
        if np.allclose(gradient, right):
            continue
        if own.shape == other.shape and np.allclose(gradient, dout * own):
            raise Wrong(
                f"The gradient of {name} uses {name} itself, but the slope of a · b with respect to {name} is the other factor."
            )
        if own.shape == other.shape and np.allclose(gradient, other):
            raise Wrong(f"The gradient of {name} does not depend on dout: multiply the slope by the incoming gradient.")
        raise Wrong(f"The gradient of {name} is wrong {where}: multiply dout by the other factor first, then sum.")


def check_prediction(axes):
    if sorted(axis % 3 if isinstance(axis, int) else axis for axis in np.atleast_1d(axes).tolist()) != [0, 2]:
        raise Wrong(
            f"You predict the axes {axes}; write (2, 1) below (4, 2, 3), aligned on the right, and find the axes "
            "that it lacks or where it has size 1."
        )
