"""The check of exercise 4."""

import numpy as np

import book
import minisk as ms
from book.answers import Wrong

# Not symmetric: for f(x) = xᵀ·A·x the gradient is (A + Aᵀ)·x and the Hessian A + Aᵀ.
A = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, -1.0], [1.0, 0.0, 4.0]])
V = np.array([1.0, -2.0, 0.5])


def check(answer):
    (digits,) = answer.predictions("DIGITS")
    with np.errstate(all="ignore"):
        check_product(answer.get("hessian_product"))
        check_count(answer.get("hessian_product"))
        check_softplus(answer.get("Softplus"))
        check_newton(answer.get("hessian_product"), answer.get("Softplus"))
    check_prediction(digits)


def quadratic(x):
    return (x * (ms.tensor(A) @ x)).sum()


def check_product(hessian_product):
    x, hessian = np.array([0.5, -1.0, 2.0]), A + A.T
    try:
        result = hessian_product(quadratic, x.copy(), V.copy())
    except ms.GraphError as error:
        if "does not require gradients" in str(error) or "no_grad" in str(error):
            raise Wrong(
                "ms.grad finds no graph: the point needs requires_grad=True, and the first ms.grad create_graph=True, "
                "and its result is a tuple, (gradient,)."
            ) from None
        raise
    result = result.numpy() if isinstance(result, ms.Tensor) else np.asarray(result)
    expected = hessian @ V
    if result.shape != x.shape:
        raise Wrong(
            f"The product has shape {result.shape}, but H·v has the shape of x, {x.shape}: it is a gradient of g · v."
        )
    error = np.abs(result - expected).max()
    if error < 1e-10:
        return
    if np.allclose(result, hessian.sum(axis=1)):
        raise Wrong("The result is the row sums of H, without v: differentiate the sum of g times v.")
    if np.allclose(result, expected + hessian @ x):
        raise Wrong(
            "The result is H·v plus the first gradient: the second backward adds to x.grad, so set it to None in between."
        )
    if np.allclose(result, hessian.sum(axis=1) * V):
        raise Wrong(
            "The result is the row sums of H times v: multiply the gradient by v before you sum and differentiate."
        )
    if np.allclose(result, hessian @ x) or np.allclose(result, hessian @ x * V):
        raise Wrong("The result is the first gradient, perhaps times v: differentiate g · v once more.")
    if error < 1e-2:
        raise Wrong(
            f"The product is off by {error:.0e}: differences are not needed, ms.grad gives H·v to the last digit."
        )
    raise Wrong(f"H·v should be {expected}, but the product is {result}.")


class Slopes(ms.Function):
    """4·x³, with a count of its backwards in Counted."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 4 * x**3

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        Counted.backwards += 1
        return 12 * x * x * dout


class Counted(ms.Function):
    """The sum of fourth powers, with a count of its backwards and of their backwards."""

    backwards = 0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return np.asarray((x**4).sum())

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        Counted.backwards += 1
        return Slopes.apply(x) * dout


def check_count(hessian_product):
    Counted.backwards, x = 0, np.linspace(-1, 1, 50)
    result = hessian_product(Counted.apply, x, np.ones(50))
    result = result.numpy() if isinstance(result, ms.Tensor) else np.asarray(result)
    error = np.abs(result - 12 * x * x).max()
    if 1e-12 < error < 1e-2:
        raise Wrong(
            f"For the sum of x⁴ the product is off by {error:.0e}: differences are not needed, "
            "ms.grad gives H·v to the last digit."
        )
    if not error <= 1e-12:
        raise Wrong("H·v is wrong for the sum of x⁴, whose Hessian has 12·x² on its diagonal.")
    if Counted.backwards > 3:
        raise Wrong(f"One product for 50 numbers takes {Counted.backwards} backward passes: do not build the Hessian.")


def check_softplus(softplus):
    x = np.array([-3.0, -0.2, 0.5, 4.0])
    y = softplus.apply(ms.tensor(x)).numpy()
    if not np.allclose(y, np.log(1 + np.exp(x))):
        raise Wrong(f"Softplus of {x} is {y}, expected {np.log(1 + np.exp(x))}.")
    large = softplus.apply(ms.tensor(np.array([1000.0]))).item()
    if large != 1000:
        raise Wrong(f"Softplus of 1000 is {large}, not 1000, since exp(1000) is infinite: use np.logaddexp(0, x).")
    check_slopes(softplus, x)


def check_slopes(softplus, x):
    """Raise Wrong unless the first and the second derivative of Softplus are right."""
    if ms.gradcheck(softplus, [x], raise_on_failure=False).verdict.value != "correct":
        raise Wrong("ms.gradcheck says that the first derivative is wrong: the slope is 1 / (1 + exp(−x)), times dout.")
    for place, expected in ((1000.0, 1), (-1000.0, 0)):
        far = ms.tensor(place, requires_grad=True, dtype="float64")
        (slope,) = ms.grad(softplus.apply(far), far)
        if slope.item() != expected:
            raise Wrong(
                f"The slope of Softplus at {place:g} is {slope.item():g}, not {expected}: exp(1000) is infinite, and "
                "only 1 / (1 + exp(−x)) survives that."
            )
    point = ms.tensor(x, requires_grad=True)
    try:
        (first,) = ms.grad(softplus.apply(point).sum(), point, create_graph=True)
        ms.grad(first.sum(), point, allow_unused=True)
    except ms.GraphError as error:
        if "neither input nor output" in str(error):
            raise Wrong(
                "The saved array is neither input nor output, so a second derivative would miss how it depends on x: "
                "save x, and compute the slope in backward."
            ) from None
        if "does not require gradients" in str(error):
            raise Wrong(
                "The gradient of Softplus has no graph: an attribute of ctx is a constant, "
                "so save x with save_for_backward, and compute with Tensors."
            ) from None
        raise
    if ms.gradcheck(softplus, [x], order=2, raise_on_failure=False).verdict.value != "correct":
        raise Wrong(
            "ms.gradcheck with order=2 finds a wrong second derivative: an attribute of ctx is a constant, "
            "so save x with save_for_backward."
        )


def check_newton(hessian_product, softplus):
    """Raise Wrong unless Newton's method with the reader's functions finds the lowest point of a function."""
    rng = np.random.default_rng(4)
    rows, x = rng.normal(size=(40, 20)), np.zeros(20)

    def f(x):
        return softplus.apply(ms.tensor(rows) @ x).sum() + (x * x).sum()

    for _ in range(8):
        point = ms.tensor(x, requires_grad=True)
        (gradient,) = ms.grad(f(point), point)
        x = x - book.build(4).solve(lambda v, x=x: np.asarray(hessian_product(f, x, v)), gradient.numpy(), rounds=30)
    point = ms.tensor(x, requires_grad=True)
    (gradient,) = ms.grad(f(point), point)
    left = np.abs(gradient.numpy()).max()
    if left > 1e-8:
        raise Wrong(f"Newton's method with your two functions ends at a slope of {left:.0e}, expected below 1e-8.")


def check_prediction(digits):
    if digits != 6:
        raise Wrong(
            f"You predict {digits} digits; look at the errors of Newton's method in the text: what happens to their exponents?"
        )
