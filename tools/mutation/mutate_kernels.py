"""Put mistakes into the kernels, one at a time, and test that each is found: by the checker, or by a wrong result.

python tools/mutation/mutate_kernels.py                    all kernels; some minutes
python tools/mutation/mutate_kernels.py axpy.cu            one file
python tools/mutation/mutate_kernels.py --sample 40        40 random mutants

Many mutants (mutants.py) are built together, each in a namespace of its own. Each runs in a separate process on the
cases (sanitizer/cases.py) of the kernels that it affects, in float32 and float64, as they are and with some zeros,
infinities or NaN among the inputs, until one run kills it. A mutant is killed by

    checker   a finding of the checker
    crash     a signal, more than 1 s of processor time, or memory corrupted so that Python fails
    value     a result that differs by more than 1e-5 of the largest element, or a write outside the arrays

Kernels for every block size also run in mode cpu, one thread a block, and are compared by value. Survivors that compute
the same, or are known not to be found, are listed in mutations_equivalent.txt, with the reason. The exit status is 1 if
a survivor is not listed, or fewer than 96 % are killed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mutant_runs import Work
from mutants import TUNING, mutants, without_comments

from minisk.runtime.preprocess import PACKAGE
from minisk.sanitizer import cases

EQUIVALENT = Path(__file__).with_name("mutations_equivalent.txt")
WANTED = 0.96


def equivalents() -> dict[tuple[str, str, str], str]:
    """Return the explained survivors: the reason for each file, line before and line after."""
    file, listed = "", dict[tuple[str, str, str], str]()
    text = EQUIVALENT.read_text(encoding="utf-8")
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines and lines[0].startswith("["):
            file = lines.pop(0).strip("[]")
        if lines:
            before, *afters = [without_comments(line[2:]) for line in lines if line[:2] in ("- ", "+ ")]
            reason = " ".join(line.strip() for line in lines if line[:2] not in ("- ", "+ "))
            listed |= {(file, before, after): reason for after in afters}
    return listed


def report(work: Work) -> list[tuple[str, str, str]]:
    """Print the survivors and a table; return the survivors that are not explained."""
    texts = {mutant.file: (PACKAGE / mutant.file).read_text(encoding="utf-8") for mutant in work.chosen}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    explained, unexplained = equivalents(), []
    for number, mutant in enumerate(work.chosen, start=1):
        kind = (work.verdicts.get(number) or "survived").partition(":")[0]
        for row in (mutant.file, "all"):
            counts[row][kind] += 1
        if kind == "survived":
            key = mutant.file, *mutant.changed_lines(texts[mutant.file])
            print(
                f"{mutant.file}:{mutant.line(texts[mutant.file])} survived ({mutant.operator})\n- {key[1]}\n+ {key[2]}"
            )
            print(f"  {explained.get(key, 'NOT EXPLAINED')}\n")
            if key not in explained:
                unexplained.append(key)
    kinds = ("checker", "value", "crash", "does not compile", "survived")
    print(f"{'file':20} {'mutants':>8} " + " ".join(f"{kind:>16}" for kind in kinds) + "   killed")
    for file, count in counts.items():
        compiled = count.total() - count["does not compile"]
        killed = f"{100 * (compiled - count['survived']) / max(1, compiled):.1f} %"
        print(f"{file:20} {count.total():8} " + " ".join(f"{count[kind]:16}" for kind in kinds) + f"   {killed}")
    return unexplained


def outdated(work: Work) -> list[tuple[str, str, str]]:
    """Return the explanations of mutants that do not survive, or do not exist any more."""
    survivors = {
        (mutant.file, *mutant.changed_lines((PACKAGE / mutant.file).read_text(encoding="utf-8")))
        for number, mutant in enumerate(work.chosen, start=1)
        if not work.verdicts.get(number)
    }
    files = {mutant.file for mutant in work.chosen}
    return [key for key in equivalents() if key[0] in files and key not in survivors]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Put mistakes into the kernels, and test that each is found.")
    parser.add_argument("files", nargs="*", help="kernel files, .cu or .cuh (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--sample", type=int, help="try only this many, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choice (default: 0)")
    arguments = parser.parse_args(argv)
    started = time.perf_counter()
    kernel_files = sorted(path.name for path in PACKAGE.glob("*.cu"))
    files = arguments.files or sorted(path.name for path in PACKAGE.glob("*.cu*"))
    chosen = [mutant for file in files for mutant in mutants(PACKAGE / file)]
    if arguments.sample:
        chosen = random.Random(arguments.seed).sample(chosen, min(arguments.sample, len(chosen)))
        chosen.sort(key=lambda mutant: (mutant.file, mutant.start))
    work = Work(chosen, kernel_files)
    for file in kernel_files:
        for name in (name for name, found in cases(file).items() if not found):
            print(f"{file}: {name} has no line `check:`")
    work.finish(arguments.jobs)
    unexplained = report(work)
    old = [] if arguments.sample else outdated(work)
    for key in old:
        print("explained, but no survivor: {}\n- {}\n+ {}\n".format(*key))
    if not arguments.sample:
        for (file, name), reason in TUNING.items():
            print(f"not changed: {name} of {file}, {reason}")
    compiled = [verdict for verdict in work.verdicts.values() if verdict != "does not compile"]
    killed = sum(map(bool, compiled))
    enough = killed >= WANTED * len(compiled)
    print(f"{killed} of {len(compiled)} killed; {len(unexplained)} survive without an explanation")
    print(f"{100 * killed / max(1, killed + len(unexplained)):.1f} % of those whose survival is not explained")
    print(f"{len(chosen)} mutants in {time.perf_counter() - started:.0f} s")
    return int(bool(unexplained or old) or not (enough or arguments.sample))


if __name__ == "__main__":
    sys.exit(main())
