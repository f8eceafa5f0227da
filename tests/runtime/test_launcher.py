"""Launching: errors before anything runs, compiler errors, mistakes that mode threads finds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from scale_kernel import SCALE, X, run, separate_process

from minisk.errors import DtypeError, KernelError, ShapeError
from minisk.runtime import Kernel, launch
from minisk.runtime import kernel_mode as current_mode

# --- A user's kernel file ----------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("mode", ["auto", "cpu", "threads"])
def test_scalars_are_converted_to_the_declared_type(scale: Path, mode: str) -> None:
    with kernel_mode(mode):
        np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
        out = np.zeros(5)
        launch(Kernel(scale, "scale"), (1,), (32,), (5, 0.1, X.astype(float), out))
    np.testing.assert_array_equal(out, 0.1 * X.astype(float))


@needs_compiler
def test_more_threads_than_openmp_can_start_are_not_asked_for(scale: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "100000"}
    done = subprocess.run(separate_process(scale), env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str((2 * X).tolist())), done.stderr


def test_a_missing_kernel_or_file_is_an_error(scale: Path) -> None:
    with pytest.raises(KernelError, match=r"scale\.cu has no kernel 'shift'; it has scale, whole_block"):
        Kernel(scale, "shift")
    with pytest.raises(KernelError, match=r"'nowhere\.cu' is neither in .* nor a path that exists"):
        Kernel("nowhere.cu", "scale")


def test_a_parameter_type_that_cannot_be_passed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "odd.cu").write_text('extern "C" __global__ void odd(float& v, int n) {}')
    reason = r"odd \(line 1\): its parameter v is a reference, which Python cannot pass"
    with pytest.raises(KernelError, match=rf"odd\.cu has no kernel 'odd'; {reason}"):
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
        ({"n": 2.5}, KernelError, "scale: argument n is 2.5, expected int"),
        ({"n": 2**31}, KernelError, "scale: argument n is 2147483648, expected int"),
        ({"block": (2048,)}, KernelError, r"scale: block \(2048,\) has 2048 threads, it takes 1024 at most"),
        ({"block": (0,)}, KernelError, r"scale: block \(0,\) must be one to three positive numbers"),
        ({"grid": (1, 70000)}, KernelError, r"scale: grid \(1, 70000\) is beyond CUDA's limit"),
        ({"grid": ()}, KernelError, r"scale: grid \(\) must be one to three positive numbers"),
    ],
)
def test_arguments_that_do_not_fit_are_errors_before_the_launch(
    scale: Path, change: dict, error: type[Exception], message: str
) -> None:
    given = {"n": 5, "factor": 2, "x": X, "out": np.zeros(5, np.float32)} | change
    args = change.get("args", (given["n"], given["factor"], given["x"], given["out"]))
    with pytest.raises(error, match=message):
        launch(Kernel(scale, "scale"), change.get("grid", (1,)), change.get("block", (32,)), args)


def test_real_arrays_of_integers_are_an_error(scale: Path) -> None:
    with pytest.raises(DtypeError, match="scale: arrays are int64, expected float16, float32 or float64"):
        launch(Kernel(scale, "scale"), (1,), (32,), (5, 2, np.arange(5), np.arange(5)))


def test_a_block_beyond_the_launch_bounds_is_an_error(scale: Path) -> None:
    with pytest.raises(KernelError, match=r"whole_block: block \(129,\) has 129 threads, it takes 128 at most"):
        launch(Kernel(scale, "whole_block"), (1,), (129,), (X,))


@needs_compiler
@pytest.mark.parametrize("mode", ["cpu", "auto"])
def test_a_kernel_not_marked_any_block_runs_at_its_block_size(scale: Path, mode: str) -> None:
    out = np.zeros(100, np.float32)
    with kernel_mode(mode):
        launch(Kernel(scale, "whole_block"), (1,), (100,), (out,))
    np.testing.assert_array_equal(out, np.arange(100))


def test_an_unknown_mode_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINISK_KERNELS", "fast")
    with pytest.raises(KernelError, match="MINISK_KERNELS is 'fast', expected one of auto, numpy, cpu, threads"):
        current_mode()


@needs_compiler
def test_a_compiler_error_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.cu"
    path.write_text(SCALE.replace("factor * x[i]", "factr * x[i]"))
    with pytest.raises(KernelError, match=r"wrong\.cu does not compile:\n(?s:.*)wrong\.cu:6:.*factr"):
        run(Kernel(path, "scale"))


# --- Mistakes that mode threads finds and mode cpu cannot --------------------------------------------------


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
def test_mode_threads_names_the_array_written_wrongly(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "bad.cu"
    path.write_text(f'#include "common.cuh"\nextern "C" __global__ void bad(const real* x, real* out) {{ {body} }}')
    with kernel_mode("threads"), pytest.raises(KernelError, match=f"bad: .*{message}"):
        launch(Kernel(path, "bad"), (1,), (32,), (np.zeros(32, np.float32), np.zeros(32, np.float32)))


@needs_compiler
@pytest.mark.parametrize("size", [32, 33])
def test_a_copy_that_runs_over_the_ends_of_two_arrays_of_one_size_is_found(tmp_path: Path, size: int) -> None:
    """The guard bytes behind the one must differ from those behind the other, as those before and behind must."""
    path = tmp_path / "copies.cu"
    path.write_text("""#include "common.cuh"
extern "C" __global__ void beyond(const real* x, real* out) { out[threadIdx.x] = x[threadIdx.x]; }
extern "C" __global__ void around(const int n, real* out) { if (threadIdx.x == 0) out[-1] = out[n]; }
""")
    arrays = np.zeros(size, np.float32), np.zeros(32, np.float32)
    with kernel_mode("threads"):
        with pytest.raises(KernelError, match="writes after the array out"):
            launch(Kernel(path, "beyond"), (1,), (33,), arrays)
        with pytest.raises(KernelError, match="writes before the array out"):
            launch(Kernel(path, "around"), (1,), (32,), (32, arrays[1]))


# --- More than 2³¹ elements --------------------------------------------------------------------------------


@needs_compiler
def test_planes_beyond_2_to_the_31_elements_are_addressed() -> None:
    """A 9 GB array of zeros takes no memory: only its last plane has been written."""
    from minisk import kernels

    x = np.zeros((1, 2**11 + 1, 2**10, 2**10), np.float32)
    x[0, -1, -1, -3:] = 2
    with kernel_mode("cpu"):
        dot = kernels.channel_dot(x, x)
    assert dot[0, -1] == 12 and not dot[0, :-1].any()


@needs_compiler
def test_indices_have_64_bits_for_large_arrays_only(scale: Path) -> None:
    source = SCALE.replace("const int n", "const index_t n").replace("GRID_LOOP(index_t, i, n) out[i]", "out[0]")
    scale.write_text(source.replace("factor * x[i]", "sizeof(index_t)"))
    for elements, size in ((5, 4), (2**31, 8)):
        out = np.zeros(1, np.float32)
        launch(Kernel(scale, "scale"), (1,), (32,), (elements, 2, np.zeros(elements, np.float32), out))
        assert out[0] == size
