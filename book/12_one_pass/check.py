"""The check of exercise 12."""

import numpy as np

import minisk as ms
from book.answers import Wrong
from book.kernels import finding, refusal, sectors
from minisk.kernels import reference
from minisk.runtime import in_mode, recorded_reports

SHAPE = (2, 3, 10, 20)  # planes of 200 elements: three rounds of a block and a tail, 25 whole sectors
PLANE_SECTORS = 6 * 25


def check(answer):
    prediction = answer.get("PREDICTION")
    if prediction is None:
        raise Wrong("First predict: replace the None of PREDICTION in exercise.py.")
    if prediction != 3:
        raise Wrong(f"PREDICTION is {prediction}: one pass reads U₀ and U₁ once each, and writes out once.")
    random = np.random.default_rng(12)
    x0, x1, dout = (random.standard_normal(SHAPE).astype("f") for _ in range(3))
    logits, dweights = (random.standard_normal((2, 2, 3)).astype("f") for _ in range(2))
    answer.path("exercise.cu")
    check_forward(answer.get("select"), logits, x0, x1)
    check_backward(answer.get("select_grad"), dout, dweights, reference.softmax(logits, 1), x0, x1)
    check_proof(answer)


def launched(function, *arrays):
    """Call a function under the checker; return its result and the report of its launch. Raises Wrong."""
    with in_mode("check"), recorded_reports() as reports:
        try:
            result = function(*arrays)
        except ms.KernelError as error:
            is_finding = bool(reports) and not reports[-1].ok
            raise Wrong(finding(reports[-1]) if is_finding else refusal(str(error))) from None
    if not reports:
        raise Wrong("exercise.py launches no kernel for two branches.")
    return result, reports[-1]


def check_forward(select, logits, x0, x1):
    (out, weights), report = launched(select, logits, x0, x1)
    check_written(report, "select_forward", ("weights", "out"))
    right, right_weights = reference.select(logits, x0, x1)
    if not np.allclose(weights, right_weights, rtol=1e-4, atol=1e-6):
        if np.allclose(weights.sum(1), 1, rtol=1e-4) or np.allclose(weights.reshape(2, 3, 2).sum(2), 1, rtol=1e-4):
            raise Wrong(
                "The weights belong to other logits: logit m of channel c in image n is at (n·2 + m)·channels + c."
            )
        raise Wrong(
            "The two weights of a plane do not add up to 1: divide both by the sum of their exponentials, and write both."
        )
    if not np.allclose(out, right, rtol=1e-4, atol=1e-5):
        n, c, i, j = np.argwhere(~np.isclose(out, right, rtol=1e-4, atol=1e-5))[0]
        found, expected = out[n, c, i, j], right[n, c, i, j]
        raise Wrong(f"The weights are right, but out[{n},{c},{i},{j}] is {found:.4g} instead of {expected:.4g}.")
    (out, weights), _ = launched(select, 100 * logits, x0, x1)
    if not np.isfinite(out).all():
        raise Wrong("For large logits out is NaN: e^100 is too large for float32, so subtract the larger logit first.")
    check_traffic(report, ("x0", "x1"), "forward")
    if sectors(report, "out") > 1.1 * PLANE_SECTORS:
        raise Wrong("out is written, and read or written again: add both products in a register, and write once.")


def check_backward(select_grad, dout, dweights, weights, x0, x1):
    (dlogits, dx0, dx1), report = launched(select_grad, dout, dweights, weights, x0, x1)
    check_written(report, "select_backward", ("dlogits", "dx0", "dx1"))
    right, right0, right1 = reference.select_grad(dout, dweights, weights, x0, x1)
    if not (np.allclose(dx0, right0, rtol=1e-4, atol=1e-5) and np.allclose(dx1, right1, rtol=1e-4, atol=1e-5)):
        raise Wrong("dx0 or dx1 is wrong: the gradient of branch m is a_m · dout.")
    without, *_ = reference.select_grad(dout, 0 * dweights, weights, x0, x1)
    if np.allclose(dlogits, without, rtol=1e-3, atol=1e-4):
        raise Wrong("dlogits leaves out `dweights`, the gradient that reaches the weights directly: add it to da.")
    if not np.allclose(dlogits, right, rtol=1e-3, atol=1e-4):
        if not np.allclose(dlogits.sum(1), 0, atol=1e-3):
            raise Wrong(
                "The two dlogits of a plane must add up to 0, since a softmax "
                "ignores a common shift: subtract the mean."
            )
        if np.allclose(dlogits, reference.select_grad(dout, 64 * dweights, weights, x0, x1)[0], rtol=1e-3, atol=1e-4):
            raise Wrong("dlogits counts `dweights` once for each of the 64 threads: add it after block_sum.")
        raise Wrong(
            f"dlogits[0,0,0] is {dlogits.flat[0]:.4g} instead of {right.flat[0]:.4g}: check the sums over the plane."
        )
    check_traffic(report, ("dout", "x0", "x1"), "backward")


def check_written(report, kernel, arrays):
    written = {site.array for site in report.sites if site.access == "writes"}
    for array in arrays:
        if array not in written:
            raise Wrong(f"No line of {kernel} writes to {array}: that part of its body is still to be written.")


def check_traffic(report, arrays, direction):
    for array in arrays:
        moved = sectors(report, array)
        if moved > 1.1 * PLANE_SECTORS:
            raise Wrong(
                f"The result is right, but {direction} moves {moved} sectors of {array}, "
                f"and {PLANE_SECTORS} would do: read it once."
            )


def check_proof(answer):
    """Prove both functions in both dtypes, and check the second derivative of the operation that uses them."""
    functions = {"select": answer.get("select"), "select_grad": answer.get("select_grad")}
    random = np.random.default_rng(13)
    inputs = [random.standard_normal((1, 2, 2)), *random.standard_normal((2, 1, 2, 2, 3))]
    try:
        with ms.kernels.replaced(**functions), in_mode("check"):
            ms.gradcheck(lambda logits, *branches: ms.ops.select(logits, branches)[0], inputs, order=2, mode="fast")
    except ms.KernelError as error:
        if "float64" in str(error) and "differs" in str(error):
            raise Wrong(
                "float32 is right, but float64 keeps only the digits of float32: use `wide`, not float."
            ) from None
        raise Wrong(refusal(str(error))) from None
