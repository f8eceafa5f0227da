"""`minisk check` on files as they are: what was not tried, JSON, SARIF, the exit status, and the compiler for a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agreement import needs_compiler

from minisk.cli import main
from minisk.runtime.nvrtc import nvrtc

pytestmark = needs_compiler
needs_nvrtc = pytest.mark.skipif(nvrtc() is None, reason="NVRTC is not installed (extra nvrtc)")

RIGHT = """
// check: <<<2, 32>>> n=50 x[n] out[n]
__global__ void twice(const float* x, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = 2 * x[i];
}
"""
RACE = """
// check: <<<2, 32>>> out[1]
__global__ void race(float* out) { out[0] = threadIdx.x; }
"""
UNTRIED = """
__global__ void untried(float* out, int rows, int columns, float eps) { out[rows * columns] = eps; }
template <class T, int N> __global__ void shape(T* out) { out[threadIdx.x] = N; }
"""
HOST = """
#include <vector>
float halve(float x) { return x / 2; }
// check: <<<1, 32>>> x[32]=1
__global__ void halves(float* x) { x[threadIdx.x] = HALF(x[threadIdx.x]); }
int main() { std::vector<int> v(3); return (int)halve(v.size()); }
"""
PROMISE = """
#include "common.cuh"
// check: <<<4, 64>>> n=256 x[n] out[n]
extern "C" __global__ ANY_BLOCK void twice(const int n, const float* x, float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = 2 * x[i];
}
"""


def check(folder: Path, *texts: str, options: tuple[str, ...] = ()) -> int:
    """Check files with these texts; return the exit status."""
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"k{number}.cu")
        files[-1].write_text(text)
    try:
        return main(["check", *map(str, files), *options])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


@pytest.mark.parametrize(
    ("texts", "status"),
    [
        ((RIGHT,), 0),
        ((RIGHT, RACE, UNTRIED, "no kernel"), 1),
        ((RIGHT, UNTRIED, "no kernel"), 2),
        ((RIGHT, UNTRIED), 3),
    ],
)
def test_the_exit_status_is_that_of_the_worst_result(tmp_path: Path, texts: tuple[str, ...], status: int) -> None:
    assert check(tmp_path, *texts) == status


def test_a_kernel_that_was_not_tried_is_named_with_its_line_a_reason_and_a_guess(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, UNTRIED)
    out = capsys.readouterr().out
    assert "k0.cu:2: untried was not tried: no `check:` line stands above it" in out
    assert "// check: <<<4, 256>>> rows=50 columns=50 eps=0.5 out[rows*columns]" in out
    assert "k0.cu:3: shape was not tried: it is a template" in out
    assert "// check: shape<float, 128><<<4, 256>>> out[1000]" in out


def test_the_guess_is_a_line_that_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, UNTRIED)
    guesses = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines() if "a guess" in line]
    first, second = UNTRIED.strip().splitlines()
    assert check(tmp_path, "\n".join([guesses[0], first, guesses[1], second])) == 1
    assert "out of bounds" in capsys.readouterr().out


def test_a_broken_promise_of_any_block_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, PROMISE) == 1
    assert "any block: k0.cu:4: with one thread a block, as mode cpu runs it, 252 of 256" in capsys.readouterr().out
    grid_loop = PROMISE.replace("const int i = blockIdx.x * blockDim.x + threadIdx.x;", "GRID_LOOP(int, i, n)")
    assert check(tmp_path, grid_loop) == 0


def test_host_code_that_a_kernel_uses_is_a_finding_and_other_host_code_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, HOST.replace("HALF", "0.5f * ")) == 0
    assert check(tmp_path, HOST.replace("HALF", "halve")) == 1
    assert "host code: k0.cu:3: device code uses the function halve, which has no __device__" in capsys.readouterr().out


def test_an_array_of_variable_length_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "// check: <<<1, 1>>> n=4 x[1]=0\n__global__ void k(int n, float* x) { float own[n]; own[0] = x[0]; }"
    assert check(tmp_path, text) == 2
    assert "variable length array" in capsys.readouterr().err


def test_json_holds_launches_findings_and_what_was_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, RIGHT, RACE, UNTRIED, "no kernel", options=("--json",)) == 1
    result = json.loads(capsys.readouterr().out)
    right, race, untried, none = result["files"]
    assert result["status"] == 1
    assert [each["launch"] for each in right["launches"]] == ["twice<<<2, 32>>>"]
    (finding,) = [each for each in race["launches"][0]["findings"] if each["severity"] == "error"]
    assert (finding["kind"], finding["file"], finding["line"]) == ("race", str(tmp_path / "k1.cu"), 3)
    assert [each["kernel"] for each in untried["not_tried"]] == ["untried", "shape"]
    assert "has no kernel" in none["error"]


def test_sarif_has_a_rule_a_level_and_a_place_for_each_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, RIGHT, RACE, UNTRIED, options=("--sarif",))
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    for result in run["results"]:
        assert result["ruleId"] in rules
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert Path(place["artifactLocation"]["uri"]).name in ("k1.cu", "k2.cu")
        assert place["region"]["startLine"] >= 2
    assert [r["level"] for r in run["results"] if r["ruleId"] == "race"] == ["error"]


@needs_nvrtc
def test_gpu_reports_registers_and_occupancy_of_a_file_with_host_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, HOST.replace("HALF", "0.5f * "), options=("--gpu",)) == 0
    out = capsys.readouterr().out
    assert "k0.cu for sm_80 (A100): compiles" in out
    assert "registers, no spills" in out
    assert check(tmp_path, HOST.replace("HALF", "halve"), options=("--gpu", "90")) == 1
    assert (
        "refused by nvcc: k0.cu:5: device code uses halve, line 3, which has no __device__" in capsys.readouterr().out
    )


@needs_nvrtc
@pytest.mark.parametrize(
    "body",
    [
        "atomicMax(x, 1.0f);",
        "if (x[0] > 1) throw 1;",
        "x[0] = x[0] ?: 1.0f;",
        "__shared__ float s = 0; x[0] = s;",
        "__shared__ float t[warpSize]; t[0] = 1;",
    ],
)
def test_gpu_reports_what_nvcc_refuses(tmp_path: Path, body: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, f"__global__ void k(float* x) {{ {body} }}", options=("--gpu",))
    assert "refused by nvcc: k0.cu:1: " in capsys.readouterr().out
