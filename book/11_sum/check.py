"""The check of exercise 11."""

import numpy as np

from book.answers import Wrong
from book.kernels import examined, refusal
from minisk import KernelError
from minisk.runtime import Kernel, in_mode, launch

PLANES, SPATIAL, BLOCK = 3, 556, 64  # two rounds of 256 elements, and a tail of 44


def check(answer):
    prediction = answer.get("PREDICTION")
    if prediction is None:
        raise Wrong("First predict: replace the None of PREDICTION in exercise.py.")
    if prediction != 10:
        raise Wrong(
            f"PREDICTION is {prediction}: 32 lanes need exchanges of 16, 8, 4, 2 and 1, and a thread of the first warp "
            "runs that loop twice."
        )
    path = answer.path("exercise.cu")
    check_float32(path)
    check_float16(path)
    check_orders(path)


def check_float32(path):
    x = np.random.default_rng(11).standard_normal((PLANES, SPATIAL)).astype("f")
    out = np.zeros(PLANES, "f")
    report = examined(path, "plane_sum", (PLANES,), (BLOCK,), (SPATIAL, x, out))
    if not np.allclose(out, x.sum(1), rtol=1e-4, atol=1e-3):
        for length in range(4, SPATIAL, 4):
            if np.allclose(out, x[:, :length].sum(1), rtol=1e-4, atol=1e-3):
                raise Wrong(
                    f"Only the first {length} elements of a plane are added: a thread may go on while its own four "
                    "elements lie inside."
                )
        first_warp = x.reshape(PLANES, 139, 4)
        kept = np.arange(139) % 64 < 32
        if np.allclose(out, first_warp[:, kept].sum((1, 2)), rtol=1e-4, atol=1e-3):
            raise Wrong("Only the first warp is added: the sums of both warps lie in of_warp.")
        if np.allclose(out, 2 * x.sum(1), rtol=1e-4, atol=1e-3):
            raise Wrong("The sum is twice what it should be: the exchanges of a warp are 16, 8, 4, 2 and 1.")
        raise Wrong(f"The sum of plane 0 is {out[0]:.4g} instead of {x[0].sum():.4g}.")
    loads = [site for site in report.sites if site.array == "x"]
    if sum(site.requests for site in loads) > PLANES * 5:
        raise Wrong("The sum is right, but elements are loaded one by one: keep the requests of four elements.")


def check_float16(path):
    x = np.ones((PLANES, 4 * 2048), np.float16)  # each thread adds 128 ones to 2,048 of the first element
    x[:, :256:4] = 2048
    out = np.zeros(PLANES, np.float16)
    x[:, 4 * 256 :] = 0
    right = x.astype("d").sum(1)
    x, right = x / np.float16(8), right / 8
    examined(path, "plane_sum", (PLANES,), (BLOCK,), (x.shape[1], x, out))
    if np.abs(out / right - 1).max() > 1e-3:
        raise Wrong(
            f"In float16 a sum is {out[0]:g} instead of {right[0]:g}: near 256 "
            "its numbers are 1/4 apart, so small terms "
            "vanish; add in `wide`."
        )
    x = np.zeros((1, 256), np.float16)
    x[0, [0, 4, 128]] = 2048, 1, -2047  # lanes 0 and 1 of the first warp, lane 0 of the second
    out = np.zeros(1, np.float16)
    examined(path, "plane_sum", (1,), (BLOCK,), (x.shape[1], x, out))
    if out[0] != 2:
        raise Wrong(
            f"In float16 the sum of 2048, 1 and −2047 is {out[0]:g}: keep what lanes and warps pass on in `wide` too."
        )


def check_orders(path):
    x = np.random.default_rng(12).standard_normal((PLANES, SPATIAL)).astype("f")
    try:
        with in_mode("threads"):
            launch(Kernel(path, "plane_sum"), (PLANES,), (BLOCK,), (SPATIAL, x, np.zeros(PLANES, "f")))
    except KernelError as error:
        raise Wrong(refusal(str(error))) from None
