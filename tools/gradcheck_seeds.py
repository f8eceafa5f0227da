"""Count false alarms: run gradcheck on every operation and module, with different inputs for each seed.

python tools/gradcheck_seeds.py 1000 --dtype float32
python tools/gradcheck_seeds.py 100 --dtype float32 --only '^SK'
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Count false alarms of the gradient checker.")
    parser.add_argument("seeds", type=int, nargs="?", default=100, help="how many seeds (default: 100)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--order", type=int, default=1, help="of the derivative (default: 1)")
    parser.add_argument("--only", default="", help="a regular expression: check only names that contain it")
    arguments = parser.parse_args()
    from correct import at_seed  # type: ignore[import-not-found]

    import minisk as ms

    started = time.perf_counter()
    verdicts: Counter[str] = Counter()
    alarms = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name, function, inputs in at_seed(seed):
            if not re.search(arguments.only, name):
                continue
            report = ms.gradcheck(
                function, inputs, order=arguments.order, dtype=arguments.dtype, seed=seed, raise_on_failure=False
            )
            verdicts[report.verdict.value] += 1
            if not report.ok:
                alarms += 1
                print(f"seed {seed}, {name}:\n{report}\n")
    checks, seconds = verdicts.total(), time.perf_counter() - started
    print(f"{arguments.dtype}, order {arguments.order}: {checks} checks at {arguments.seeds} seeds in {seconds:.0f} s")
    # "not differentiable here" is no alarm if the check passed beside the kink, such as a ReLU's input near 0.
    print(f"{alarms} false alarms;", ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
