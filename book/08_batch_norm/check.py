"""The check of exercise 8."""

import weakref
from typing import ClassVar

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
    if prediction in (8, 2.0**-8):
        raise Wrong(f"PREDICTION is {prediction}: it is the power in 2^PREDICTION, negative for a gap smaller than 1.")
    if prediction != -8:
        raise Wrong(
            f"PREDICTION is {prediction!r}, but 50,000 lies between 2^15 and 2^16 and float32 keeps 24 binary digits: "
            "the gap is 2^(15 − 23)."
        )


def data(middle, count):
    random = np.random.default_rng(8)
    return (middle * np.array([1, -1, 1]) + random.standard_normal((count, 3))).astype(np.float32)


class Row(np.ndarray):
    """A float32 row that remembers whether some result computed from a row was float64."""

    seen: ClassVar[list] = []

    def __array_finalize__(self, _):
        self.seen.append(self.dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **settings):
        plain = [each.view(np.ndarray) if isinstance(each, Row) else each for each in inputs]
        places = tuple(each.view(np.ndarray) if isinstance(each, Row) else each for each in out)
        result = getattr(ufunc, method)(*plain, **settings, **({"out": places} if out else {}))
        self.seen.append(np.asarray(result).dtype)
        return out[0] if out else np.asarray(result).view(Row)


def rows_of(x, alive):
    """Yield the rows of x, and append to `alive` how many of them the reader has kept."""
    yielded = []
    for row in x:
        alive.append(sum(each() is not None for each in yielded))
        one = row.copy().view(Row)
        yielded.append(weakref.ref(one))
        yield one
        del one


def run_once(statistics, x):
    """Return center, rest and variance as float64 arrays."""
    Row.seen.clear()
    alive = []
    found = statistics(rows_of(x, alive))
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Wrong("`statistics` must return three arrays: center, rest and variance.")
    found = [np.asarray(each) for each in found]
    if not np.all(np.isfinite(found[2])) or np.allclose(found[2], 0):
        raise Wrong("The variance is 0 or NaN: `rows` can be read once, so a second loop over it finds no rows.")
    if any(each.dtype != np.float32 for each in found):
        raise Wrong("`statistics` returns other dtypes than float32: on a GPU, float64 costs many times as much.")
    if np.dtype("float64") in Row.seen:
        raise Wrong("`statistics` computes in float64 on the way: on a GPU, that costs many times as much as float32.")
    if max(alive) > 10:
        raise Wrong(f"`statistics` keeps {max(alive)} rows: read each once, add it to the sums and forget it.")
    return [each.astype("float64") for each in found]


def check_statistics(statistics):
    for middle, count in ((0, 40), (10_000, 500)):
        x = data(middle, count)
        mean, var = x.mean(0, dtype="float64"), x.var(0, dtype="float64")
        center, rest, found = run_once(statistics, x)
        shift = (mean - center) ** 2
        for mistaken, sentence in (
            (var * count / (count - 1), "too large by N/(N − 1): batch norm normalises with the mean of the squares"),
            ((var + shift) * count, "the sum of the squares: divide it by the number of rows"),
            (var + shift, "the mean of the squares around the center: subtract rest²"),
            (var**0.5, "its root, the deviation: return the square"),
        ):
            if np.allclose(found, mistaken, rtol=1e-3) and not np.allclose(found, var, rtol=1e-3):
                raise Wrong(f"The variance is {sentence}.")
        if np.abs(found / var - 1).max() > 0.01:
            worst = np.abs(found / var - 1).argmax()
            around = f"Around {middle:,} the variance is {found[worst]:.3g} instead of {var[worst]:.3g}: "
            if middle == 0:
                raise Wrong(around + "nothing cancels there, so look at the count of the rows and at each sum.")
            raise Wrong(around + "Σx²/N − mean² cancels, so subtract a number near the column's mean first.")
        error = np.abs(center + rest - mean).max()
        if error > 1e-4:
            raise Wrong(
                f"center + rest is wrong by {error:.1e}: keep the mean of the "
                "shifted rows in `rest`, as a second number."
            )


def check_backward(normalize):
    x = np.random.default_rng(9).standard_normal((5, 3))
    dout = np.random.default_rng(10).standard_normal((5, 3))
    tensor = ms.tensor(x, requires_grad=True)
    try:
        (dx,) = ms.grad(normalize.apply(tensor), [tensor], [ms.tensor(dout)], create_graph=True)
    except ms.GraphError as error:
        if "do not depend" not in str(error):
            raise
        raise Wrong("`Normalize.backward` returns None: end it with `return` and dx.") from None
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
    if np.allclose(dx, inv_std * (dout - dout.sum(0) - y * (dout * y).sum(0))):
        raise Wrong("dx subtracts sums over the rows: the formula has their means.")
    if not np.allclose(dx, right, rtol=1e-6) and np.allclose(dx, right, rtol=1e-3, atol=1e-4):
        raise Wrong(
            "dx is right but for eps: forward divides by √(var + EPS), so backward and its y need the same root."
        )
    if not np.allclose(dx, right, rtol=1e-6):
        raise Wrong(f"dx is wrong by {np.abs(dx - right).max():.1e} at most: compare each term with the formula.")
    try:
        ms.gradcheck(normalize.apply, [x], order=2)
    except ms.GradcheckError:
        raise Wrong(
            "The first derivative is right, but gradcheck of order 2 calls the second one wrong: compute mean and "
            "variance from the Tensor x, since arrays have no history."
        ) from None
