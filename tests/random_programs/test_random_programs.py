"""Random programs on minisk and PyTorch: values, first and second gradients, errors; kernels and formulas.

MINISK_RANDOM_SEED and MINISK_RANDOM_PROGRAMS change which programs run. `python tests/random_programs/run.py` runs any
number. A failure prints the seed, and the shortest part of the program that still fails, as a Python script.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted_faults import FAULTS
from steps import Hook, Leaf, Retain, Write

from minisk import ops

HAS_TORCH = importlib.util.find_spec("torch") is not None
pytestmark = pytest.mark.skipif(not HAS_TORCH, reason="needs PyTorch")
if HAS_TORCH:
    from check import KNOWN, Tally, check
    from drawers import DRAWERS, LEFT_OUT
    from generator import draw_program
    from run import failure_of

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("MINISK_RANDOM_SEED", "0"))
PROGRAMS = int(os.environ.get("MINISK_RANDOM_PROGRAMS", "2000"))
PLANTED_PROGRAMS = 800  # within which each planted fault must be found


def test_every_operation_is_drawn_or_left_out_with_a_reason():
    assert set(ops.__all__) - set(DRAWERS) == set(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_programs_agree_with_pytorch_and_kernels_with_formulas():
    command = [sys.executable, str(Path(__file__).with_name("run.py"))]
    arguments = ["--programs", str(PROGRAMS), "--seed", str(SEED), "--workers", "2"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-2000:]}"
    assert f"{PROGRAMS} programs from seed {SEED}: 0 differ" in done.stdout


def test_programs_hold_every_operation_and_kind_of_step():
    programs = [draw_program(seed) for seed in range(SEED, SEED + 500)]
    assert {name for program in programs for name in program.operations} == set(DRAWERS)
    steps = [step for program in programs for step in program.steps]
    assert {type(step) for step in steps} >= {Leaf, Hook, Retain, Write}
    assert {str(step.array.dtype) for step in steps if isinstance(step, Leaf)} == {
        *("float64", "float32", "float16"),
        *("int64", "int32", "uint8", "bool"),
    }
    assert {step.symbol for step in steps if isinstance(step, Write)} == {"=", "+=", "-=", "*=", "/="}
    assert {n for step in steps if isinstance(step, Leaf) for n in step.array.shape} >= set(range(8))
    assert {getattr(step, "no_grad", False) for step in steps} == {True, False}
    assert {program.style for program in programs} == {"smooth", "special"}


def test_most_programs_are_compared():
    tally = Tally()
    for seed in range(SEED, SEED + 100):
        check(draw_program(seed), tally)
    assert sum(tally.uncompared.values()) < 10
    assert tally.second_gradients > 70


def test_a_seed_draws_one_program():
    assert draw_program(SEED).script() == draw_program(SEED).script()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
def test_a_planted_fault_is_found(fault):
    with fault():
        seeds = range(SEED, SEED + PLANTED_PROGRAMS)
        assert any(check(draw_program(seed)) for seed in seeds), f"not found in {PLANTED_PROGRAMS} programs"


def test_a_failure_is_reported_with_seed_and_a_shorter_script():
    with FAULTS[0]():
        seed, report = next((s, r) for s in range(SEED, SEED + 400) if (r := failure_of(s, Tally())) is not None)
    assert (f"# seed {seed}" in report and "FUNCTIONS['neg']" in report) or "OPERATORS['neg']" in report
    assert len(report) < len(draw_program(seed).script())
    done = subprocess.run(
        [sys.executable, "-"],
        input=report,
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent), str(ROOT / "tests/support")])},
    )
    assert done.returncode == 0, done.stderr


def test_known_differences_have_reasons():
    assert all(known.reason for known in KNOWN)
