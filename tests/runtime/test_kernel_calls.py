"""A kernel called as CuPy's RawKernel is, from a file or a text, and the memory that a launch shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk.errors import DtypeError, KernelError
from minisk.runtime import Kernel, examine, launch

pytestmark = needs_compiler

TEXT = """
__constant__ float table[4];
__device__ int calls;
extern "C" __global__ void scale(const float* x, const float* bias, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0) calls += 1;
    if (i < n) out[i] = table[1] * x[i] + (bias ? bias[i] : 0);
}
template <class T, int N> __global__ void fill(T* out) { out[threadIdx.x] = N; }
extern "C" __global__ void smooth(const int n, const float* x, float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i > 0 && i < n) out[i] = x[i] + x[i - 1];
}
struct Box { float x, y, w, h; };
struct Labelled { float x; int label; };
extern "C" __global__ void areas(const Box* boxes, float* out) {
    out[threadIdx.x] = boxes[threadIdx.x].w * boxes[threadIdx.x].h;
}
extern "C" __global__ void labels(const Labelled* boxes, float* out) { out[threadIdx.x] = boxes[threadIdx.x].label; }
extern "C" __global__ void wide_loads(const float* x, float* out) {
    const float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    out[threadIdx.x] = v.x + v.y + v.z + v.w;
}
"""
X = np.arange(6, dtype=np.float32)


@pytest.fixture(params=["auto", "threads", "check"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernel_mode(request.param):
        yield request.param


def test_a_kernel_from_a_text_is_called_with_grid_block_and_arguments(mode: str) -> None:
    kernel, out = Kernel(TEXT, "scale"), np.zeros(6, np.float32)
    kernel.get_global("table")[1] = 3
    kernel((2,), (4,), (X, X, out, 6))
    np.testing.assert_array_equal(out, 4 * X)
    kernel(2, 4, (X, None, out, np.int64(6)), shared_mem=0)
    np.testing.assert_array_equal(out, 3 * X)
    kernel(np.int64(2), (4,), (X, 0, out, 6))
    np.testing.assert_array_equal(out, 3 * X)


def test_a_device_variable_keeps_its_value_between_launches(mode: str) -> None:
    kernel = Kernel(TEXT, "scale")
    calls = kernel.get_global("calls")
    calls[...] = 40
    for _ in range(2):
        kernel(1, 6, (X, None, np.zeros(6, np.float32), 6))
    assert int(calls) == 42


def test_an_unknown_device_variable_is_an_error() -> None:
    with pytest.raises(KernelError, match="has no device variable 'tabel'; it has table, calls"):
        Kernel(TEXT, "scale").get_global("tabel")


def test_a_template_is_named_by_its_arguments(mode: str) -> None:
    out = np.zeros(3, np.float64)
    Kernel(TEXT, "fill<double, 7>")(1, 3, (out,))
    np.testing.assert_array_equal(out, 7)


def test_a_struct_of_equal_numbers_takes_arrays_of_them(mode: str) -> None:
    boxes, out = np.arange(8, dtype=np.float32).reshape(2, 4), np.zeros(2, np.float32)
    Kernel(TEXT, "areas")(1, 2, (boxes, out))
    assert out.tolist() == [2 * 3, 6 * 7]
    for kernel, array in (("areas", boxes.astype(np.float64)), ("labels", boxes)):
        with pytest.raises(DtypeError, match=rf"argument boxes is {array.dtype}, expected records or bytes"):
            Kernel(TEXT, kernel)(1, 2, (array, out))


def test_empty_arrays_may_be_passed(mode: str) -> None:
    Kernel(TEXT, "scale")(1, 4, (X[:0], None, np.zeros(0, np.float32), 0))


def test_a_read_only_output_is_an_error_before_the_launch(mode: str) -> None:
    out = np.zeros(6, np.float32)
    out.flags.writeable = False
    with pytest.raises(KernelError, match="scale: the array out is read-only, but not declared const"):
        Kernel(TEXT, "scale")(2, 4, (X, None, out, 6))


def test_a_tensor_is_refused_with_the_remedy() -> None:
    with pytest.raises(DtypeError, match=r"argument x is a Tensor, not an array: pass its array, \.data"):
        Kernel(TEXT, "scale")(2, 4, (ms.tensor(X), None, X.copy(), 6))


@pytest.mark.parametrize("grid", [(1.5,), 2.0, "2"])
def test_a_grid_of_fractions_is_an_error(grid: object) -> None:
    with pytest.raises(KernelError, match=r"scale: grid .* must be"):
        Kernel(TEXT, "scale")(grid, 4, (X, None, X.copy(), 6))  # type: ignore[arg-type]


def test_an_array_given_twice_is_one_memory() -> None:
    kernel, x = Kernel(TEXT, "smooth"), np.arange(64, dtype=np.float32)
    with kernel_mode("threads"), pytest.raises(KernelError, match="out depends on the order"):
        launch(kernel, 2, 32, (64, x, x))
    report = examine(kernel, 2, 32, (64, x, x))
    assert "race" in str(report)
    assert "x and out" in str(report)
    assert examine(kernel, 2, 32, (64, x, np.zeros(64, np.float32)), uninitialised=()).ok


def test_overlapping_views_are_one_memory_and_views_side_by_side_are_two() -> None:
    kernel, memory = Kernel(TEXT, "smooth"), np.arange(128, dtype=np.float32)
    assert "race" in str(examine(kernel, 2, 32, (64, memory[:64], memory[32:96])))
    assert examine(kernel, 2, 32, (64, memory[:64], memory[64:])).ok
    beyond = examine(kernel, 2, 32, (65, memory[64:127], memory[:64]))
    assert "out of bounds" in str(beyond)


def test_a_view_keeps_the_alignment_that_it_would_have_on_a_gpu() -> None:
    kernel, memory, out = Kernel(TEXT, "wide_loads"), np.zeros(70, np.float32), np.zeros(16, np.float32)
    assert examine(kernel, 1, 16, (memory[4:68], out)).ok
    assert "misaligned" in str(examine(kernel, 1, 16, (memory[1:65], out)))


def test_an_edited_header_builds_the_kernel_again(tmp_path: Path) -> None:
    (tmp_path / "inner.cuh").write_text("#define FACTOR 2\n")
    (tmp_path / "outer.cuh").write_text('#include "inner.cuh"\n')
    file = tmp_path / "k.cu"
    file.write_text('#include "outer.cuh"\nextern "C" __global__ void k(float* x) { x[0] *= FACTOR; }\n')
    x = np.ones(1, np.float32)
    Kernel(file, "k")(1, 1, (x,))
    (tmp_path / "inner.cuh").write_text("#define FACTOR 5\n")
    Kernel(file, "k")(1, 1, (x,))
    assert x[0] == 10
