"""Count the memory accesses of the kernels that operations launch, and write the table of docs/kernels.md.

    python tools/kernel_counts.py            rewrite the table
    python tools/kernel_counts.py --check    count only; exit status 1 if a kernel exceeds its limit

Calls each function of the dispatch that launches memory-bound kernels in mode `check`, at shapes whose planes are a
multiple of 8. Convolution is left out: it is bound by arithmetic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minisk import kernels
from minisk.kernels import PoolWindow
from minisk.runtime import in_mode, recorded_reports
from minisk.runtime.findings import CheckReport
from minisk.serialization import atomic_write

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "kernels.md"
BEGIN, END = "<!-- table of tools/kernel_counts.py -->\n", "<!-- end of counts -->\n"
MOST_BYTES, MOST_SECTORS, MOST_WAVEFRONTS = 1.05, 1.1, 1.0

# Kernels that cannot stay within these limits, and why.
STRIDED = (
    "neighbouring windows start a stride apart, so one tap uses every other element of a sector; the next tap reads "
    "the rest from the cache, and the bytes are moved once"
)
INTERPOLATED = (
    "neighbouring elements share the neighbours that they read, so sectors are read several times, from the cache"
)
EXCUSES = {
    "max_pool": STRIDED,
    "mean_pool": STRIDED,
    "max_pool_scatter": STRIDED,
    "mean_pool_spread": STRIDED,
    "bilinear": INTERPOLATED,
    "bilinear_adjoint": INTERPOLATED,
    "max_pool_gather": "the data decide which element of a window is read",
}


class Counts(NamedTuple):
    """Bytes per block, sectors, and wavefronts per request of one kernel, each divided by the least possible."""

    kernel: str
    call: str
    bytes: float
    sectors: float
    wavefronts: float

    @property
    def is_good(self) -> bool:
        return self.bytes <= MOST_BYTES and self.sectors <= MOST_SECTORS and self.wavefronts <= MOST_WAVEFRONTS


def calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each call to count, with its shape."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return random.standard_normal(shape, dtype=np.float32)

    for shape in ((4, 8, 32, 32), (4, 16, 8, 8)):
        (n, c, h, w), size = shape, "×".join(map(str, shape))
        x, y, dout, a = draw(*shape), draw(*shape), draw(*shape), draw(n, c)
        scale, shift = draw(c), draw(c)
        logits, found = draw(n, 2, c), kernels.batch_norm_train(x, scale, shift, 1e-5, True)[1]
        yield size, partial(kernels.axpy, a, x, y)
        yield size, partial(kernels.channel_scale, a, x)
        yield size, partial(kernels.channel_dot, dout, x)
        yield size, partial(kernels.plane_mean, x)
        yield size, partial(kernels.batch_norm_train, x, scale, shift, 1e-5, True)
        yield size, partial(kernels.batch_norm_apply, x, scale, shift, found, 1e-5, True)
        yield size, partial(kernels.batch_norm_backward, dout, x, scale, shift, found, 1e-5, True, True)
        yield size, partial(kernels.relu, x)
        yield size, partial(kernels.relu_grad, dout, x)
        yield size, partial(kernels.add, x, y)
        yield size, partial(kernels.add, x, np.broadcast_to(a[:, :, None, None], shape))
        yield size, partial(kernels.add_relu, x, y)
        yield size, partial(kernels.select, logits, x, y)
        yield size, partial(kernels.select_grad, dout, logits, kernels.softmax(logits, 1), x, y)
        window = PoolWindow((2, 2), (2, 2), (0, 0), (h // 2, w // 2))
        pooled, winner = kernels.max_pool2d(x, window)
        yield size, partial(kernels.max_pool2d, x, window)
        yield size, partial(kernels.max_pool2d_scatter, pooled, winner, window, shape)
        yield size, partial(kernels.max_pool2d_gather, x, winner, window)
        yield size, partial(kernels.avg_pool2d, x, window)
        yield size, partial(kernels.avg_pool2d_spread, pooled, window, shape)
        unpadded = PoolWindow((3, 3), (1, 1), (1, 1), (h, w), count_padding=False)
        yield size, partial(kernels.avg_pool2d, x, unpadded)
        yield size, partial(kernels.avg_pool2d_spread, dout, unpadded, shape)
        yield size, partial(kernels.bilinear, x, (2 * h, 2 * w))
        yield size, partial(kernels.bilinear_adjoint, draw(n, c, 2 * h, 2 * w), (h, w))
        yield size, partial(kernels.sigmoid, x)
        yield size, partial(kernels.softmax, x, 1)
        yield size, partial(kernels.softmax_grad, dout, x, 1)
        yield size, partial(kernels.sgd_momentum, x, dout, y, 0.1, 0.9, 1e-4, True)
    # Channels so large that batch norm cuts them into parts.
    x, dout, scale, shift = draw(40, 2, 32, 32), draw(40, 2, 32, 32), draw(2), draw(2)
    found = kernels.batch_norm_train(x, scale, shift, 1e-5, True)[1]
    yield "40×2×32×32", partial(kernels.batch_norm_train, x, scale, shift, 1e-5, True)
    yield "40×2×32×32", partial(kernels.batch_norm_backward, dout, x, scale, shift, found, 1e-5, True, True)
    rows, target = draw(64, 128), np.full((64, 128), 1 / 128, np.float32)
    for function, args in (
        (kernels.softmax, (rows, 1)),
        (kernels.log_softmax, (rows, 1)),
        (kernels.softmax_grad, (rows, rows.copy(), 1)),
        (kernels.log_softmax_grad, (rows, rows.copy(), 1)),
        (kernels.cross_entropy, (rows, target)),
        (kernels.cross_entropy_grad, (draw(64), rows, target)),
    ):
        yield "64×128", partial(function, *args)


def transactions(report: CheckReport, shared: bool) -> float:
    """Return sectors of global memory, or wavefronts of shared memory, divided by the least possible."""
    sites = [site for site in report.sites if site.is_shared == shared]
    return sum(site.transactions for site in sites) / max(1, sum(site.least for site in sites))


def block_bytes(report: CheckReport) -> float:
    """Return the sum of each block's distinct bytes of global memory, divided by those of all blocks together."""
    sites = [site for site in report.sites if not site.is_shared]
    updated = {s.array for s in sites if s.access == "reads"} & {s.array for s in sites if s.access == "writes"}
    least = sum(report.sizes.values()) + sum(report.sizes[array] for array in updated)
    return sum(site.block_bytes for site in sites) / max(1, least)


def count() -> list[Counts]:
    """Run every call of `calls` and return the counts of its kernels."""
    found = []
    for size, call in calls():
        with in_mode("check"), recorded_reports() as reports:
            call()
        assert all(report.ok for report in reports), reports
        for report in reports:
            kernel, costs = report.launch.partition("<")[0], (transactions(report, shared) for shared in (False, True))
            found.append(Counts(kernel, size, block_bytes(report), *costs))
    return found


def table(counts: Sequence[Counts]) -> str:
    lines = ["| kernel | shape | bytes | sectors | wavefronts |", "|---|---|---|---|---|"]
    for each in counts:
        wavefronts = f"{each.wavefronts:.2f}" if each.wavefronts else ""
        lines.append(f"| `{each.kernel}` | {each.call} | {each.bytes:.3f} | {each.sectors:.3f} | {wavefronts} |")
    reasons = [f"- `{kernel}`: {reason}." for kernel, reason in EXCUSES.items()]
    return "\n".join([*lines, "", "More sectors than 1.1 times the least:", "", *reasons]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Count; return 1 if a kernel without an excuse exceeds its limits."""
    parser = argparse.ArgumentParser(description="Count the memory accesses of the kernels.")
    parser.add_argument("--check", action="store_true", help="only count; leave docs/kernels.md as it is")
    check_only = parser.parse_args(arguments).check
    counts = count()
    bad = [each for each in counts if not each.is_good and each.kernel not in EXCUSES]
    print(table(bad) if bad else "every kernel stays within its limits")
    if not check_only:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        atomic_write(DOCUMENT, (before + BEGIN + table(counts) + END + after).encode())
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
