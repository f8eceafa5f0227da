"""Draw random programs, run them on minisk and PyTorch, and print those that differ, shortened:

python tests/random_programs/run.py --programs 2000 --seed 0 --workers 2
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

from check import Tally, check, same_kind  # noqa: E402
from generator import draw_program  # noqa: E402
from shrinking import shrink  # noqa: E402

CHUNK = 100  # programs a task


def failure_of(seed: int, tally: Tally) -> str | None:
    """Check the program of a seed. Return a report with the shortest program that fails in the same way, or None."""
    program = draw_program(seed)
    found = check(program, tally)
    if not found:
        return None
    shortest = shrink(program, lambda part: any(same_kind(found[0], other) for other in check(part)))
    difference = next((d for d in check(shortest) if same_kind(found[0], d)), found[0])
    return f"# seed {seed}\n{shortest.script()}\n# {str(difference).replace(chr(10), chr(10) + '# ')}\n"


def run_chunk(first: int, count: int) -> tuple[Tally, list[str]]:
    """Check the programs of some seeds in a row."""
    warnings.simplefilter("ignore")
    tally = Tally()
    reports = [failure_of(seed, tally) for seed in range(first, first + count)]
    return tally, [report for report in reports if report is not None]


def run_programs(count: int, seed: int, workers: int) -> tuple[Tally, list[str]]:
    """Check the programs of the seeds seed, …, seed + count - 1. Return counts, and a report for each failure."""
    starts = range(seed, seed + count, CHUNK)
    sizes = [min(CHUNK, seed + count - start) for start in starts]
    total, reports = Tally(), []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for tally, found in pool.map(run_chunk, starts, sizes):
            reports += found
            merge(total, tally)
    return total, reports


def merge(total: Tally, part: Tally) -> None:
    total.programs += part.programs
    total.second_gradients += part.second_gradients
    for name in ("operations", "known", "uncompared"):
        getattr(total, name).update(getattr(part, name))
    for name in ("calls", "rounded_differently"):
        getattr(total.agreement, name).update(getattr(part.agreement, name))


def summary(tally: Tally, reports: list[str], seed: int) -> str:
    """Return the counts in words."""
    kernels = [
        f"  {name:<20} {tally.agreement.rounded_differently[name]:>7} of {count:>7} calls"
        for name, count in sorted(tally.agreement.calls.items())
    ]
    lines = [
        f"{tally.programs} programs from seed {seed}: {len(reports)} differ",
        f"{sum(tally.operations.values())} calls of {len(tally.operations)} operations, "
        f"{tally.second_gradients} programs with second gradients",
        *(f"not compared, {reason}: {n}" for reason, n in sorted(tally.uncompared.items())),
        *(f"known difference, {reason}: {n}" for reason, n in sorted(tally.known.items())),
        "kernel and formula with other bits:",
        *kernels,
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    tally, reports = run_programs(args.programs, args.seed, args.workers)
    print(*reports, summary(tally, reports, args.seed), sep="\n")
    kinds = Counter(report.split("\n# ")[1].splitlines()[0][:100] for report in reports)
    print(*(f"{n} × {kind}" for kind, n in kinds.most_common()), sep="\n")
    return int(bool(reports))


if __name__ == "__main__":
    sys.exit(main())
