"""The check of exercise 10."""

import numpy as np

from book.answers import Wrong
from book.kernels import examined, least_sectors, sectors

PLANES, SPATIAL, BLOCK = 5, 456, 64  # seven rounds of a block and a tail; a plane is 57 whole sectors


def check(answer):
    prediction = answer.get("PREDICTION")
    if prediction is None:
        raise Wrong("First predict: replace the None of PREDICTION in exercise.py.")
    if prediction != 8:
        raise Wrong(
            f"PREDICTION is {prediction}: 32 lanes that are 8 bytes apart span 256 bytes, and a sector has 32 of them."
        )
    check_kernel(answer.path("exercise.cu"))


def check_kernel(path):
    random = np.random.default_rng(10)
    a, x, y = (random.standard_normal(shape).astype("f") for shape in (PLANES, (PLANES, SPATIAL), (PLANES, SPATIAL)))
    out = np.zeros_like(x)
    report = examined(path, "axpy_planes", (PLANES,), (BLOCK,), (SPATIAL, a, x, y, out))
    if not np.allclose(out, a[:, None] * x + y, rtol=1e-5, atol=1e-6):
        plane, s = np.argwhere(~np.isclose(out, a[:, None] * x + y, rtol=1e-5, atol=1e-6))[0]
        raise Wrong(f"out[{plane},{s}] is {out[plane, s]:.4g} instead of {a[plane] * x[plane, s] + y[plane, s]:.4g}.")
    moved, least = sectors(report), least_sectors(report)
    if moved > least:
        worst = max((site for site in report.sites), key=lambda site: site.transactions / site.least)
        offsets = [offset for offset in worst.example if offset >= 0]
        apart = (offsets[1] - offsets[0]) // 4 if len(offsets) > 1 else 0
        raise Wrong(
            f"The result is right, with {moved} sectors where {least} would do: neighbouring lanes are {apart} numbers "
            f"apart in {worst.array}."
        )
    requests = sum(site.requests for site in report.sites if site.array == "x")
    if requests > PLANES * -(-SPATIAL // 32):
        raise Wrong(
            f"Warps read x in {requests} requests where {PLANES * -(-SPATIAL // 32)} "
            "would do: all lanes of a warp must "
            "have work in every round but the last."
        )
