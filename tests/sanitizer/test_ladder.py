"""The ladders of minisk/cuda/steps/: every step is clean, equals step 1, and costs what its sentence claims."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from agreement import needs_compiler

from minisk import KernelError
from minisk.__main__ import main
from minisk.sanitizer import Ladder, climb, ladder_names, ladder_table

pytestmark = needs_compiler

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"
NAMES = ["batch_norm", "conv", "matmul", "select", "softmax", "sum", "transpose"]
SMALL = """#include "common.cuh"
#include "steps/number.cuh"
// adds: nothing.
// step: Right.
// check: <<<1, 32>>> n=50 x[n] out[1]
extern "C" __global__ void first(const int n, const real* x, real* out) {
    if (threadIdx.x > 0) return;
    number sum = as_number(0);
    for (int i = 0; i < n; i++) sum += as_number(x[i]);
    out[0] = (real)(wide)sum;
}
// step: Another kernel.
// check: <<<1, 32>>> n=50 x[n] out[1]
extern "C" __global__ void second(const int n, const real* x, real* out) { BODY }
"""


@functools.cache
def climbed(name: str) -> Ladder:
    return climb(name)


def steps(name: str) -> dict:
    return {step.kernel: step for step in climbed(name).steps}


def test_every_ladder_is_listed() -> None:
    assert ladder_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_proven_and_the_last_moves_fewer_sectors_than_the_first(name: str) -> None:
    ladder = climbed(name)
    assert [step.kernel for step in ladder.steps if not step.is_proven] == []
    own = [step for step in ladder.steps if not step.is_in_use]
    assert len(own) >= 3 and ladder.adds
    assert own[-1].sectors < own[0].sectors / 3
    assert own[-1].bytes <= own[0].bytes


@pytest.mark.parametrize("name", NAMES)
def test_docs_kernels_md_lists_the_counts_of_the_first_and_the_last_step(name: str) -> None:
    own = [step for step in climbed(name).steps if not step.is_in_use]
    first, last = own[0], own[-1]
    counts = f"`{first.kernel}` | {first.sectors:,} | `{last.kernel}` | {last.sectors:,} | {last.wavefronts:,}"
    operations = "" if first.operations is None else f"{first.operations:,}; {last.operations:,}"
    assert f"| {name} | {counts} | {operations} |" in DOCUMENT.read_text(encoding="utf-8")


def test_operations_are_those_of_the_formula() -> None:
    assert steps("sum")["channel_dot_serial"].operations == 6 * 904 * 2
    assert {step.operations for step in climbed("matmul").steps} == {2 * 64 * 64 * 40}
    assert steps("conv")["conv_rows"].operations == 2 * 9 * 4 * 8 * 30 * 32
    softmax = steps("softmax")
    assert softmax["softmax_thread_a_row"].exponentials == 2 * 8 * 200
    assert softmax["softmax_registers"].exponentials == 8 * 256  # places in registers, used or not


def test_the_transposed_tile_needs_a_padded_column() -> None:
    naive, tile, padded = climbed("transpose").steps
    assert naive.sectors > 3 * tile.sectors == 3 * padded.sectors
    assert tile.wavefronts > 10 * padded.wavefronts


def test_the_fused_select_reads_each_branch_once() -> None:
    reads = {site.array: site for site in steps("select")["select_fused"].report.sites}
    assert all(reads[array].transactions == 2048 * 4 // 32 for array in ("x0", "x1", "out"))


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ("if (threadIdx.x == 0) out[0] = x[0];", "differs from step 1"),
        ("out[0] = (real)threadIdx.x;", "race: "),
    ],
)
def test_a_step_that_is_wrong_is_named(tmp_path: Path, body: str, mistake: str) -> None:
    (tmp_path / "small.cu").write_text(SMALL.replace("BODY", body))
    ladder = climb("small", tmp_path)
    assert [step.is_proven for step in ladder.steps] == [True, False]
    assert mistake in ladder_table(ladder)


def test_a_ladder_is_proven_in_float16_too() -> None:
    halves = climb("transpose", dtype="float16").steps
    assert all(step.is_proven for step in halves)
    assert [step.bytes for step in halves] == [step.bytes // 2 for step in climbed("transpose").steps]


def test_a_step_without_its_lines_is_named(tmp_path: Path) -> None:
    (tmp_path / "small.cu").write_text(SMALL.replace("// check: <<<1, 32>>> n=50 x[n] out[1]\n", "", 1))
    with pytest.raises(KernelError, match=r"small\.cu:5: first needs a `step:` and a `check:` line"):
        climb("small", tmp_path)


def test_a_ladder_that_does_not_exist_is_named() -> None:
    with pytest.raises(KernelError, match="no ladder 'sums': expected one of batch_norm, conv"):
        climb("sums")


def test_the_command_prints_a_row_and_a_sentence_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "transpose"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("clean, equals step 1") == 3
    assert "3  The tile has one more column" in printed
    assert printed.count("In use:") == 1
