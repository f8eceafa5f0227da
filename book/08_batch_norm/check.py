"""The check of exercise 8."""

import numpy as np

import minisk as ms
from book.answers import Wrong


def check(answer):
    check_prediction(answer.get("PREDICTION"))
    check_statistics(answer.get("statistics"))
    check_backward(answer.get("Normalize"))


def check_prediction(prediction):
    if prediction is None:
        raise Wrong("First predict, without a computer: replace the None of PREDICTION.")
    if prediction != -8:
        raise Wrong(
            f"PREDICTION is {prediction}, but 50,000 lies between 2^15 and 2^16 and float32 keeps 24 binary digits: "
            "the gap is 2^(15 − 23)."
        )


def data(middle, count):
    random = np.random.default_rng(8)
    return (middle + random.standard_normal((count, 3))).astype(np.float32)


def check_statistics(statistics):
    for middle, count in ((0, 40), (10_000, 500)):
        x = data(middle, count)
        mean, var = x.mean(0, dtype="float64"), x.var(0, dtype="float64")
        center, rest, found = statistics(iter(x))
        if any(np.asarray(each).dtype != np.float32 for each in (center, rest, found)):
            raise Wrong("`statistics` returns other dtypes than float32: on a GPU, float64 costs many times as much.")
        if not np.all(np.isfinite(found)) or np.allclose(found, 0):
            raise Wrong("The variance is 0 or NaN: `rows` can be read once, so a second loop over it finds no rows.")
        if np.allclose(found * (count - 1) / count, var, rtol=1e-3):
            raise Wrong("The variance is too large by N/(N − 1): batch norm normalises with the mean of the squares.")
        if np.abs(found / var - 1).max() > 0.01:
            raise Wrong(
                f"Around {middle} the variance is {found[0]:.3g} instead of {var[0]:.3g}: "
                "Σx²/N − mean² cancels, so subtract a number near the mean before you square."
            )
        error = np.abs(center.astype("d") + rest - mean).max()
        if error > 1e-4:
            raise Wrong(
                f"center + rest is wrong by {error:.1e}: keep the mean of the "
                "shifted rows in `rest`, as a second number."
            )


def check_backward(normalize):
    x = np.random.default_rng(9).standard_normal((5, 3))
    dout = np.random.default_rng(10).standard_normal((5, 3))
    tensor = ms.tensor(x, requires_grad=True)
    (dx,) = ms.grad(normalize.apply(tensor), [tensor], [ms.tensor(dout)], create_graph=True)
    dx = dx.numpy()
    inv_std = 1 / np.sqrt(x.var(0) + 1e-5)
    y = (x - x.mean(0)) * inv_std
    right = inv_std * (dout - dout.mean(0) - y * (dout * y).mean(0))
    if np.allclose(dx, inv_std * dout):
        raise Wrong("dx is that of evaluation mode: in training, x moves the mean and the variance too.")
    if np.allclose(dx, inv_std * (dout - dout.mean(0))):
        raise Wrong("dx lacks the term of the variance, y · mean(dout · y): scaling x must change nothing.")
    if np.allclose(dx, inv_std * (dout - y * (dout * y).mean(0))):
        raise Wrong("dx lacks the term of the mean, mean(dout): shifting a column of x must change nothing.")
    if not np.allclose(dx, right, rtol=1e-6):
        raise Wrong(f"dx is wrong by {np.abs(dx - right).max():.1e} at most: compare each term with the formula.")
    try:
        ms.gradcheck(normalize.apply, [x], order=2)
    except ms.GradcheckError:
        raise Wrong(
            "The first derivative is right, but gradcheck of order 2 calls the second one wrong: compute mean and "
            "variance from the Tensor x, since arrays have no history."
        ) from None
