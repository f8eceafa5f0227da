"""Launching: what is refused before anything runs, what is said of a kernel that does not compile, and the cache."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk.errors import DtypeError, KernelError, ShapeError
from minisk.runtime import build as compiler
from minisk.runtime import launcher
from minisk.runtime.launcher import Kernel, launch

SCALE = """
#include "common.cuh"
#define MOST 128
extern "C" __global__ ANY_BLOCK void scale(const int n, const wide factor, const real* __restrict__ x,
                                           real* __restrict__ out) {
    GRID_LOOP(index_t, i, n) out[i] = factor * x[i];
}
extern "C" __global__ void __launch_bounds__(MOST) whole_block(real* out) { out[threadIdx.x] = threadIdx.x; }
"""
X = np.arange(5, dtype=np.float32)


@pytest.fixture
def scale(tmp_path: Path) -> Path:
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    return path


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def run(kernel: Kernel) -> np.ndarray:
    out = np.zeros_like(X)
    launch(kernel, (2,), (32,), (5, 2, X, out))
    return out


# --- A kernel of one's own ---------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("mode", ["auto", "cpu", "threads"])
def test_numbers_take_the_type_the_kernel_declares(scale: Path, mode: str) -> None:
    with kernel_mode(mode):
        np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
        out = np.zeros(5)
        launch(Kernel(scale, "scale"), (1,), (32,), (5, 0.1, X.astype(float), out))
    np.testing.assert_array_equal(out, 0.1 * X.astype(float))


def test_a_kernel_or_file_that_is_not_there(scale: Path) -> None:
    with pytest.raises(KernelError, match=r"scale\.cu has no kernel 'shift'; it has scale, whole_block"):
        Kernel(scale, "shift")
    with pytest.raises(KernelError, match=r"'nowhere\.cu' is neither in .* nor a path that exists"):
        Kernel("nowhere.cu", "scale")


def test_an_argument_type_that_cannot_be_passed(tmp_path: Path) -> None:
    (tmp_path / "odd.cu").write_text('extern "C" __global__ void odd(float4 v, int n) {}')
    with pytest.raises(KernelError, match=r"odd\.cu: odd takes 'float4 v'; an argument's type is one of real, "):
        Kernel(tmp_path / "odd.cu", "odd")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"args": (5, 2, X)}, KernelError, r"scale takes 4 arguments \(n, factor, x, out\), got 3"),
        ({"x": X.astype(np.int32)}, DtypeError, "scale: argument x is int32, expected float32"),
        ({"x": X.astype(np.float64)}, DtypeError, "scale: argument x is float64, expected float32"),
        (
            {"x": np.zeros((5, 2), np.float32)[:, 0]},
            ShapeError,
            r"scale: argument x, shape \(5,\), is not C-contiguous",
        ),
        ({"x": 3.0}, DtypeError, "scale: argument x is a float, not an array"),
        ({"n": 2.5}, KernelError, "scale: argument n is 2.5, not a int"),
        ({"n": 2**31}, KernelError, "scale: argument n is 2147483648, not a int"),
        ({"block": (2048,)}, KernelError, r"scale: block \(2048,\) has 2048 threads, it takes 1024 at most"),
        ({"block": (0,)}, KernelError, r"scale: block \(0,\) must be one to three positive numbers"),
        ({"grid": (1, 70000)}, KernelError, r"scale: grid \(1, 70000\) is beyond CUDA's limit"),
        ({"grid": ()}, KernelError, r"scale: grid \(\) must be one to three positive numbers"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_launch(
    scale: Path, change: dict, error: type[Exception], message: str
) -> None:
    given = {"n": 5, "factor": 2, "x": X, "out": np.zeros(5, np.float32)} | change
    args = change.get("args", (given["n"], given["factor"], given["x"], given["out"]))
    with pytest.raises(error, match=message):
        launch(Kernel(scale, "scale"), change.get("grid", (1,)), change.get("block", (32,)), args)


def test_arrays_of_no_floating_dtype_are_refused(scale: Path) -> None:
    with pytest.raises(DtypeError, match="scale: arrays are int64, expected float16, float32 or float64"):
        launch(Kernel(scale, "scale"), (1,), (32,), (5, 2, np.arange(5), np.arange(5)))


def test_the_declared_most_threads_hold(scale: Path) -> None:
    with pytest.raises(KernelError, match=r"whole_block: block \(129,\) has 129 threads, it takes 128 at most"):
        launch(Kernel(scale, "whole_block"), (1,), (129,), (X,))


@needs_compiler
def test_a_kernel_that_needs_its_whole_block_is_refused_in_mode_cpu_and_runs_in_mode_auto(scale: Path) -> None:
    out = np.zeros(100, np.float32)
    with kernel_mode("cpu"), pytest.raises(KernelError, match="whole_block is not marked ANY_BLOCK"):
        launch(Kernel(scale, "whole_block"), (1,), (100,), (out,))
    with kernel_mode("auto"):
        launch(Kernel(scale, "whole_block"), (1,), (100,), (out,))
    np.testing.assert_array_equal(out, np.arange(100))


def test_a_mode_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINISK_KERNELS", "fast")
    with pytest.raises(KernelError, match="MINISK_KERNELS is 'fast', expected one of auto, numpy, cpu, threads"):
        launcher.kernel_mode()


@needs_compiler
def test_source_that_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.cu"
    path.write_text(SCALE.replace("factor * x[i]", "factr * x[i]"))
    with pytest.raises(KernelError, match=r"wrong\.cu does not compile:\n(?s:.*)wrong\.cu:6:.*factr"):
        run(Kernel(path, "scale"))


# --- Mode threads finds what mode cpu can't ----------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("out[threadIdx.x + 1] = 1;", "writes after the array out"),
        ("out[(int)threadIdx.x - 1] = 1;", "writes before the array out"),
        ("((real*)x)[threadIdx.x] = 1;", "writes to x, which it declares const"),
        (
            "__shared__ real s[32]; s[threadIdx.x] = threadIdx.x; out[threadIdx.x] = s[31 - threadIdx.x];",
            "order in which",
        ),
    ],
)
def test_mode_threads_names_what_is_written_wrong(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "bad.cu"
    path.write_text(f'#include "common.cuh"\nextern "C" __global__ void bad(const real* x, real* out) {{ {body} }}')
    with kernel_mode("threads"), pytest.raises(KernelError, match=f"bad: .*{message}"):
        launch(Kernel(path, "bad"), (1,), (32,), (np.zeros(32, np.float32), np.zeros(32, np.float32)))


# --- More than 2³¹ elements --------------------------------------------------------------------------------


@needs_compiler
def test_planes_beyond_2_to_the_31_elements_are_found() -> None:
    """A 9 GB array of zeros, none of which is in memory: only its last plane has been written."""
    from minisk import kernels

    x = np.zeros((1, 2**11 + 1, 2**10, 2**10), np.float32)
    x[0, -1, -1, -3:] = 2
    with kernel_mode("cpu"):
        dot = kernels.channel_dot(x, x)
    assert dot[0, -1] == 12 and not dot[0, :-1].any()


@needs_compiler
def test_indices_have_64_bits_where_the_array_needs_them(scale: Path) -> None:
    source = SCALE.replace("const int n", "const index_t n").replace("GRID_LOOP(index_t, i, n) out[i]", "out[0]")
    scale.write_text(source.replace("factor * x[i]", "sizeof(index_t)"))
    for elements, size in ((5, 4), (2**31, 8)):
        out = np.zeros(1, np.float32)
        launch(Kernel(scale, "scale"), (1,), (32,), (elements, 2, np.zeros(elements, np.float32), out))
        assert out[0] == size


# --- Building and keeping ----------------------------------------------------------------------------------


def in_a_process_of_its_own(scale: Path) -> list[str]:
    """The command that runs the kernel and prints the result."""
    code = "import sys; sys.path[:0] = [sys.argv[2], sys.argv[3]]\n"
    code += "from test_launcher import Kernel, run; print(run(Kernel(sys.argv[1], 'scale')).tolist())"
    return [
        sys.executable,
        "-c",
        code,
        str(scale),
        str(Path(__file__).parent),
        str(Path(__file__).parents[1] / "support"),
    ]


@needs_compiler
def test_what_was_built_is_private_and_found_again(scale: Path, fresh_cache: Path) -> None:
    run(Kernel(scale, "scale"))
    (library,) = fresh_cache.glob("scale-*.so")
    assert stat.S_IMODE(fresh_cache.stat().st_mode) == 0o700
    made = library.stat().st_mtime_ns
    run(Kernel(scale, "scale"))
    assert library.stat().st_mtime_ns == made


@needs_compiler
@pytest.mark.parametrize("damage", ["cut short", "emptied", "one byte changed"])
def test_a_damaged_entry_is_built_again(scale: Path, fresh_cache: Path, damage: str) -> None:
    subprocess.run(in_a_process_of_its_own(scale), check=True, capture_output=True)
    (library,) = fresh_cache.glob("scale-*.so")
    whole = library.read_bytes()
    damaged = {
        "cut short": whole[: len(whole) // 2],
        "emptied": b"",
        "one byte changed": whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
    }
    library.write_bytes(damaged[damage])
    done = subprocess.run(in_a_process_of_its_own(scale), check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str((2 * X).tolist())
    assert library.read_bytes() != damaged[damage]


@needs_compiler
def test_two_processes_that_build_at_once_both_succeed(scale: Path, fresh_cache: Path) -> None:
    both = [subprocess.Popen(in_a_process_of_its_own(scale), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [str((2 * X).tolist())] * 2
    assert len(list(fresh_cache.glob("scale-*.so"))) == 1


@needs_compiler
def test_a_folder_that_cannot_be_used_costs_the_cache_only(
    scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert "for this process only" in caplog.text


# --- No compiler, or one that fails ------------------------------------------------------------------------


def fake_compiler(folder: Path, script: str) -> str:
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def forgetful() -> object:
    """Ask again which compiler there is, in this test and after it."""
    caches = (compiler.find_compiler, launcher.why_no_kernels)
    for cache in caches:
        cache.cache_clear()
    before = dict(launcher.PROBE._compiled)
    launcher.PROBE._compiled.clear()
    yield
    launcher.PROBE._compiled.update(before)
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no C\\+\\+ compiler found"),
        ("exit 3", "does not run"),
        ("case $1 in --version) echo toy 1;; *) echo broken >&2; exit 1;; esac", "does not compile:\nbroken"),
    ],
)
def test_without_a_compiler_the_formulas_run_and_a_log_line_says_so_once(
    script: str | None,
    reason: str,
    tmp_path: Path,
    fresh_cache: Path,
    forgetful: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from minisk import kernels

    monkeypatch.setenv("CXX", fake_compiler(tmp_path, script) if script else str(tmp_path / "none"))
    with caplog.at_level(logging.WARNING), kernel_mode("auto"):
        x = np.ones((2, 64, 16, 16), np.float32)
        for _ in range(2):
            np.testing.assert_array_equal(kernels.plane_mean(x), np.ones((2, 64)))
    assert caplog.text.count("NumPy formulas in use") == 1
    with kernel_mode("cpu"), pytest.raises(KernelError, match=f"MINISK_KERNELS=cpu, but .*{reason}"):
        kernels.plane_mean(x)


@needs_compiler
def test_without_openmp_kernels_run_on_one_processor(
    scale: Path,
    tmp_path: Path,
    fresh_cache: Path,
    forgetful: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = compiler.find_compiler()[0]
    compiler.find_compiler.cache_clear()
    refuse = f'for a in "$@"; do [ "$a" = -fopenmp ] && {{ echo no OpenMP >&2; exit 1; }}; done; exec {real} "$@"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, refuse))
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert "has no OpenMP: kernels run on one processor" in caplog.text
    assert os.listdir(fresh_cache)
