"""The parts of tools/gpu_day.sh, as far as the stand-in for CuPy goes; the summary from outputs of NVIDIA's tools."""

import os
import subprocess
import sys
from pathlib import Path

import gpu_launches
import gpu_summary
import pytest
from agreement import needs_compiler
from cupy_standin import installed

ROOT = Path(__file__).resolve().parents[2]


@needs_compiler
@pytest.mark.parametrize("mistake", gpu_launches.PLANTED)
def test_each_planted_mistake_is_found_by_minisk_check(mistake, capsys):
    kinds = gpu_launches.run_planted(mistake, on_gpu=False)
    expected = gpu_launches.PLANTED[mistake][0]
    assert expected in kinds
    assert capsys.readouterr().out == f"minisk check: {', '.join(kinds)}; expected {expected}\n"


@needs_compiler
def test_five_kernels_are_counted_and_launched(capsys):
    with installed() as ledger:
        counts = dict(gpu_launches.run_counted())
        assert ledger.kernels.keys() == counts.keys() and len(counts) == 5
    assert all(count > 0 for count in counts.values())
    assert "axpy_forward" in capsys.readouterr().out


def test_every_part_has_a_limit_and_all_together_take_at_most_eight_minutes():
    script = (ROOT / "tools" / "gpu_day.sh").read_text()
    limits = [int(line.split()[2]) for line in script.splitlines() if line.strip().startswith("part ")]
    loops = {'"planted_$mistake"': 4, '"sanitizer_$tool"': 4, '"step_$1_$precision"': 6}
    names = [line.split()[1] for line in script.splitlines() if line.strip().startswith("part ")]
    assert loops.keys() < set(names) and len(limits) == len(names) >= 15
    assert sum(limit * loops.get(name, 1) for name, limit in zip(names, limits, strict=True)) <= 8 * 60


NSIGHT = """==PROF== Connected to process 7
"ID","Kernel Name","Metric Name","Metric Value"
"0","axpy_forward(int, int)","l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum","1,610"
"0","axpy_forward(int, int)","l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum","805"
"""


def test_the_summary_sets_both_verdicts_and_both_counts_side_by_side(tmp_path):
    parts = {
        "status": "counted_here 0 3\nplanted_race 0 2\nnvidia_race 9 4\nbandwidth 0 7\nstep_sknet29_mixed 124 30\n",
        "counted_here": "axpy_forward 2415 sectors\nrelu 258 sectors\n",
        "counted_nsight": NSIGHT,
        "planted_race": "minisk check: race; expected race\n",
        "nvidia_race": "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n",
        "bandwidth": "copy 1900 GB/s\n",
        "step_sknet29_mixed": "",
    }
    for name, text in parts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    summary = gpu_summary.summary(tmp_path)
    assert "| axpy_forward | 2415 | 2415 |" in summary and "| relu | 258 | – |" in summary
    assert "| race | race | 2 hazards displayed (2 errors, 0 warnings) |" in summary
    assert "| memory | – | did not run |" in summary
    assert "| step_sknet29_mixed | 124 | 30 |  |" in summary and "copy 1900 GB/s" in summary


def test_the_script_notes_each_part_and_writes_its_summary(tmp_path):
    """Run it with a `python` that only prints its arguments: what the parts do is tested above."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\ncase "$1" in tools/gpu_summary.py) exec "$REAL_PYTHON" "$@";; *) echo "$@";; esac\n')
    fake.chmod(0o755)
    paths = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "STAND_IN": "1", "REAL_PYTHON": sys.executable, "PATH": paths, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "tools/gpu_day.sh", str(tmp_path / "out")], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "without a GPU" in summary and summary.count("tools/gpu_launches.py --stand-in") == 6
