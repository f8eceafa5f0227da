"""Run the benchmarks of whole steps, and write their results to docs/performance.md and its picture.

    python benchmarks/report.py
    python benchmarks/report.py --quick         (one small model and three rounds, to try the script)

The script replaces the text between the two marks in docs/performance.md. No other program should run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contest import processor, spread
from step import COLUMNS, cells

from minisk.cli.info import gather

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
PICTURE = HERE.parent / "docs" / "pictures" / "performance.png"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# A model, images of a batch, and pixels of a side. A single image can't train: a batch norm of its squeeze needs two.
WORKLOADS = (
    ("sknet_small", 128, 32),
    ("sknet29", 8, 32),
    ("sknet50", 4, 224),
    ("sknet50", 2, 320),
    ("sknet26", 6, 160),
    ("resnext50", 4, 224),
    ("sknet50", 1, 224),
)
QUICK = (("sknet_small", 8, 32),)

Measured = dict[str, Any]


def run(script: str, *options: str) -> Any:
    """Run a benchmark in a process of its own. Return the JSON it wrote."""
    print(command(script, options), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.json"
        subprocess.run([sys.executable, HERE / script, *options, "--json", path], check=True)
        return json.loads(path.read_text())


def command(script: str, options: Sequence[str]) -> str:
    return " ".join(["python", f"benchmarks/{script}", *options])


def table(head: tuple[str, ...], lines: list[list[str]]) -> str:
    rows = [list(head), ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def kind_of(measured: Measured) -> str:
    return "inference" if measured["inference"] else "training"


def described(measured: Measured) -> str:
    return f"{measured['model']}, {measured['batch_size']} × {measured['size']}²"


def steps_table(steps: list[Measured]) -> str:
    lines = []
    for measured in steps:
        for row in measured["rows"]:
            name, *others = cells(row, measured["roof"])
            what = f"{kind_of(measured)}, {described(measured)}"
            lines.append([what, name, *others])
    return table(("step", *COLUMNS), lines)


def scaling_table(measured: Measured) -> str:
    what = described(measured)
    return table(
        ("minisk's training step", "ratio of times"),
        [
            [f"{what}: time of twice the batch / time of the batch", spread(measured["twice the batch"])],
            [f"{what}: speed of two threads / speed of one", spread(measured["two threads"])],
        ],
    )


def overhead_table(measured: Measured) -> str:
    lines = [
        [
            name,
            *[f"{1e6 * statistics.median(row[library]):.1f}" for library in ("minisk", "PyTorch")],
            spread(row["ratios"]),
        ]
        for name, row in measured.items()
    ]
    return table(("operation on 2×2 tensors, forward and backward", "minisk, µs", "PyTorch, µs", "ratio"), lines)


def machine(measured: Measured) -> str:
    """List the facts about the machine that the times depend on."""
    about = gather()
    facts = {
        "processor": f"{processor()}, {os.cpu_count()} cores; {measured['threads']} threads",
        "Python": f"{about['python']}; NumPy {about['numpy']}, PyTorch {measured['torch']}",
        "compiler": about["compiler"],
        "the roof, np.matmul of 2048×2048 in float32": f"{measured['roof'] / 1e9:.0f} GF/s in the first run",
        "measured on": str(datetime.date.today()),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def draw(steps: list[Measured], path: Path) -> None:
    """Draw bars: minisk's time over PyTorch's, with the least and the greatest ratio of the rounds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.5 * len(steps)), layout="constrained")
    for position, measured in enumerate(steps):
        ratios = measured["rows"][1]["ratios"]  # of minisk; PyTorch is the first
        middle = statistics.median(ratios)
        colour = "tab:orange" if measured["inference"] else "tab:blue"
        axes.barh(position, middle, color=colour, height=0.6)
        around = [[middle - min(ratios)], [max(ratios) - middle]]
        axes.errorbar(middle, position, xerr=around, color="black", capsize=3)
        axes.annotate(
            f"{middle:.2f}", (max(middle, max(ratios)), position), (6, 0), textcoords="offset points", va="center"
        )
    names = [f"{described(m)}\n{kind_of(m)}" for m in steps]
    axes.set_yticks(range(len(steps)), names, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.axvline(1, color="black", linestyle="--", linewidth=1)
    axes.set_xlabel("time of minisk / time of PyTorch (1: equal; shorter is faster)")
    axes.set_title("A step on the CPU: median of the rounds, with the least and the greatest", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def around_the_marks(page: Path) -> tuple[str, str]:
    """Return the text before the first mark of the page, and the text after the last."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        sys.exit(f"{page} has no marks {BEGIN} and {END} to write between")
    return before, after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="of each step (default: 9, quick 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="a small model alone, and few rounds")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    before, after = around_the_marks(arguments.page)
    rounds = arguments.rounds or (3 if arguments.quick else 9)
    common = ["--rounds", str(rounds), "--threads", str(arguments.threads)]
    contests = [
        [model, "--batch-size", str(batch_size), "--size", str(size), *mode, *common]
        for model, batch_size, size in (QUICK if arguments.quick else WORKLOADS)
        for mode in ([], ["--inference"])
        if batch_size > 1 or mode
    ]
    alone = [*contests[0], "--scaling"]
    steps = [run("step.py", *options) for options in contests]
    scaling, overhead = run("step.py", *alone), run("overhead.py")
    commands = [*(command("step.py", options) for options in [*contests, alone]), command("overhead.py", [])]
    picture = os.path.relpath(arguments.picture, arguments.page.parent)
    parts = [
        machine(steps[0]),
        f"![Time of minisk over PyTorch's for each step]({picture})",
        steps_table(steps),
        scaling_table(scaling),
        overhead_table(overhead),
        "\n".join(["```", *commands, "```"]),
    ]
    draw(steps, arguments.picture)
    measured = "\n\n".join(parts)
    arguments.page.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}", encoding="utf-8")
    print(f"written: {arguments.page}, {arguments.picture}")


if __name__ == "__main__":
    main()
