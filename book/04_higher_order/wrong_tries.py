"""Typical wrong tries of exercise 4, as changes of the kept solution."""

from book.answers import Try

SECOND = "(gradient * ms.tensor(v)).sum(), point)"
SLOPE = "return dout / (1 + (-x).exp())"
TRIES = [
    Try("no create_graph", {", create_graph=True": ""}, "the first ms.grad create_graph=True"),
    Try("the point needs no gradient", {"ms.tensor(x, requires_grad=True)": "ms.tensor(x)"}, "requires_grad=True"),
    Try(
        "multiplies by v at the end",
        {SECOND: "gradient.sum(), point)", "product.numpy()": "product.numpy() * v"},
        "row sums",
    ),
    Try("forgets v", {SECOND: "gradient.sum(), point)"}, "without v"),
    Try(
        "collects both gradients in .grad",
        {
            "(gradient,) = ms.grad(f(point), point, create_graph=True)": "f(point).backward(create_graph=True)",
            "(product,) = ms.grad((gradient * ms.tensor(v)).sum(), point)": "(point.grad * ms.tensor(v)).sum().backward()",
            "product.numpy()": "point.grad.numpy()",
        },
        "plus the first gradient",
    ),
    Try(
        "returns g · v",
        {"return product.numpy()": "return (gradient.detach().numpy() * v).sum()"},
        "a gradient of g · v",
    ),
    Try(
        "returns the first gradient", {"product.numpy()": "gradient.detach().numpy()"}, "differentiate g · v once more"
    ),
    Try(
        "differences of gradients",
        {
            "    return product.numpy()": "    ahead = ms.tensor(x + 1e-4 * v, requires_grad=True)\n"
            "    (other,) = ms.grad(f(ahead), ahead)\n    return (other.numpy() - gradient.detach().numpy()) / 1.1e-4 * 1.1001"
        },
        "differences are not needed",
    ),
    Try(
        "central differences of gradients",
        {
            "    point =": "    (ahead, behind) = (ms.tensor(x + s * 1e-5 * v, requires_grad=True) for s in (1, -1))\n"
            "    (a,), (b,) = ms.grad(f(ahead), ahead), ms.grad(f(behind), behind)\n"
            "    return (a.numpy() - b.numpy()) / 2e-5\n    point ="
        },
        "differences are not needed",
    ),
    Try("the tuple of ms.grad is not opened", {"    (gradient,) = ms": "    gradient = ms"}, "its result is a tuple"),
    Try(
        "builds the Hessian from one graph",
        {
            "    (product,) = ms.grad((gradient * ms.tensor(v)).sum(), point)\n    return product.numpy()": "    rows = [ms.grad(gradient[i], point, retain_graph=True)[0].numpy() for i in range(x.size)]\n"
            "    return np.stack(rows) @ v"
        },
        "do not build the Hessian",
    ),
    Try(
        "builds the Hessian",
        {
            "    (product,) = ms.grad((gradient * ms.tensor(v)).sum(), point)\n    return product.numpy()": "    rows = [ms.grad(gradient[i], point, retain_graph=True)[0].numpy() for i in range(x.size)]\n"
            "    (again,) = zip(*[ms.grad(f(point), point) for _ in range(x.size)])\n    return np.stack(rows) @ v"
        },
        "do not build the Hessian",
    ),
    Try("exp before the logarithm", {"np.logaddexp(0, x)": "np.log(1 + np.exp(x))"}, "use np.logaddexp"),
    Try("the slope with exp(x)", {SLOPE: "return dout * x.exp() / (1 + x.exp())"}, "at 1000 is nan, not 1"),
    Try(
        "keeps the slope as an attribute",
        {
            "ctx.save_for_backward(x)": "ctx.s = 1 / (1 + np.exp(-x))",
            "        (x,) = ctx.saved_tensors\n": "",
            SLOPE: "return dout * ms.tensor(ctx.s)",
        },
        "an attribute of ctx is a constant",
    ),
    Try(
        "saves the slope",
        {
            "ctx.save_for_backward(x)": "ctx.save_for_backward(1 / (1 + np.exp(-x)))",
            "(x,) = ctx": "(s,) = ctx",
            SLOPE: "return dout * s",
        },
        "neither input nor output",
    ),
    Try(
        "backward on arrays",
        {SLOPE: "return ms.tensor(dout.numpy() / (1 + np.exp(-x.numpy())))"},
        "compute with Tensors",
    ),
    Try("the slope of the other side", {"(1 + (-x).exp())": "(1 + x.exp())"}, "the first derivative is wrong"),
    Try("predicts one more digit", {"DIGITS = 6": "DIGITS = 4"}, "what happens to their exponents"),
    Try("runs before predicting", {"DIGITS = 6": "DIGITS = None"}, "Predict before you run: DIGITS"),
]
