"""Write summary.md from the outputs of tools/gpu_day.sh: `python tools/gpu_summary.py FOLDER`."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

from minisk.serialization import atomic_write


def text_of(folder: Path, part: str) -> str:
    """Return what a part printed, or ""."""
    path = folder / f"{part}.txt"
    return path.read_text(errors="replace") if path.exists() else ""


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def errors_of(text: str) -> str:
    """Return the number of errors that compute-sanitizer counts, or its warnings for racecheck."""
    found = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    return found[-1] if found else "did not run"


def nsight_sectors(text: str) -> Counter[str]:
    """Return the sectors that Nsight Compute counted, by kernel, from its CSV."""
    start = text.find('"ID"')
    sectors: Counter[str] = Counter()
    for row in csv.DictReader(text[start:].splitlines()) if start >= 0 else ():
        name = re.sub(r"\(.*", "", row.get("Kernel Name") or "")
        sectors[name] += int(float((row.get("Metric Value") or "0").replace(",", "")))
    return sectors


def planted_rows(folder: Path) -> list[str]:
    rows = []
    for mistake in ("memory", "race", "uninitialised", "barrier"):
        own = re.search(r"minisk check: (.*); expected", text_of(folder, f"planted_{mistake}"))
        rows.append(f"| {mistake} | {own[1] if own else '–'} | {errors_of(text_of(folder, f'nvidia_{mistake}'))} |")
    return rows


def counted_rows(folder: Path) -> list[str]:
    own = dict(re.findall(r"^(\w+) (\d+) sectors$", text_of(folder, "counted_here"), re.MULTILINE))
    nsight = nsight_sectors(text_of(folder, "counted_nsight"))
    return [f"| {name} | {count} | {nsight.get(name, '–')} |" for name, count in own.items()]


def summary(folder: Path) -> str:
    """Return the summary as Markdown."""
    parts = [line.split() for line in text_of(folder, "status").splitlines()]
    lines = ["# A day on a GPU", "", last_line(text_of(folder, "device")) or "without a GPU", ""]
    lines += ["| part | exit status | s | last line |", "|---|---|---|---|"]
    lines += [f"| {name} | {status} | {s} | {last_line(text_of(folder, name))} |" for name, status, s in parts]
    lines += ["", "| planted mistake | minisk check | compute-sanitizer |", "|---|---|---|", *planted_rows(folder)]
    lines += ["", "| kernel | sectors, mode check | sectors, Nsight Compute |", "|---|---|---|", *counted_rows(folder)]
    for name, _, _ in parts:
        if name == "bandwidth" or name.startswith("step_"):
            lines += ["", f"## {name}", "", "```", text_of(folder, name).strip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) / "summary.md"
    atomic_write(target, summary(Path(sys.argv[1])).encode())
    print(target)
