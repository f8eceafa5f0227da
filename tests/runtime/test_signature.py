"""Kernels are found as they stand in a file, their types come from the compiler, and what is passed over is listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode
from host_library import needs_compiler

from minisk.errors import DtypeError, KernelError
from minisk.runtime import Kernel, launch
from minisk.runtime.declarations import declarations, without_comments, without_directives
from minisk.runtime.signature import FileKernels, kernels_in
from minisk.runtime.structs import structs


def found_in(folder: Path, text: str) -> FileKernels:
    (folder / "k.cu").write_text(text)
    return kernels_in(folder / "k.cu")


@pytest.mark.parametrize(
    ("bounds", "most"),
    [
        ("", 1024),
        ("__launch_bounds__(256)", 256),
        ("__launch_bounds__(256, 2)", 256),
        ("__launch_bounds__(16 * 16)", 256),
        ("__launch_bounds__(MOST)", 128),
        ("__launch_bounds__(WARPS * 32, 1)", 128),
    ],
)
@pytest.mark.parametrize("form", ["__global__ void {} k(int* x) {{}}", "__global__ {} void k(int* x) {{}}"])
def test_launch_bounds_may_have_any_form_and_place(tmp_path: Path, form: str, bounds: str, most: int) -> None:
    text = f"#define MOST 128\nconstexpr int WARPS = MOST / 32;\n{form.format(bounds)}"
    assert found_in(tmp_path, text).kernels["k"].most_threads == most


def test_parameters_are_read_in_every_form_of_cuda() -> None:
    code = """
    __global__ void k(float const* a, const float b[], volatile int* __restrict__ c, unsigned long long n,
                      const float* const* d, std::pair<int, float> pair, float s = 1.0f, int) {}
    """
    (kernel,) = declarations(code).kernels
    assert [(p.name, p.type, p.pointers, p.is_const) for p in kernel.parameters] == [
        ("a", "float", 1, True),
        ("b", "float", 1, True),
        ("c", "int", 1, False),
        ("n", "unsigned long long", 0, False),
        ("d", "float", 2, True),
        ("pair", "std::pair<int, float>", 0, False),
        ("s", "float", 0, False),
        ("argument7", "int", 0, False),
    ]


def test_kernels_are_found_in_blocks_namespaces_and_templates() -> None:
    code = without_directives(
        without_comments("""
    // __global__ void in_a_comment() {}
    struct S { int a; __device__ bool operator==(const S& other) const { return a == other.a; } };
    __device__ bool operator!=(const S& x, const S& y) { return !(x == y); }
    extern "C" { __global__ void c() {} }
    namespace one { namespace two { static __global__ void plain(S s) { if (s.a) { return; } } } }
    template <typename T, int N = 4> __global__ void __launch_bounds__(N) k(T* x) {}
    template <> __global__ void k<float, 2>(float* x) {}
    template __global__ void k<double, 8>(double*);
    __global__ void declared_only(int* x);
    """)
    )
    found = declarations(code).kernels
    assert [(k.name, k.template, k.is_c) for k in found] == [
        ("c", None, True),
        ("one::two::plain", None, False),
        ("k", "typename T, int N=4", False),
        ("k<float, 2>", None, False),
        ("k<double, 8>", None, False),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "template <class T>template __global__ void k(T* x) {}",
        "template <",
        "template __global__",
        "__global__ void k(int* x) __launch_bounds__{",
        "namespace { __global__ void k(int* x",
        "} } __global__ {",
    ],
)
def test_text_that_is_no_cuda_is_left_to_the_compiler(code: str) -> None:
    assert len(declarations(code).kernels) <= 1


def test_device_variables_and_the_fields_of_structs_are_found() -> None:
    code = """
    struct __align__(8) Shape { int h, w; float scale[2]; };
    struct Hidden { int x; int area() { return x * x; } };
    __constant__ float taps[3] = {1, 2, 3}, bias;
    static __device__ Shape shape;
    __device__ int function(int x) { return x; }
    __shared__ float tile[32];
    extern "C" { __device__ unsigned count; }
    """
    assert declarations(code).variables == ["taps", "bias", "shape", "count"]
    named = {struct.name: [field.name for field in struct.fields] for struct in structs(code)}
    assert named == {"Shape": ["h", "w", "scale"], "Hidden": ["x"]}


PASSED_OVER = """
#define MAKE(name) __global__ void name(float* x) { x[0] = INFINITY; }
MAKE(made)
#if 0
__global__ void off(float* x) {}
#endif
#ifdef NEVER
__global__ void never(float* x) {}
#else
__global__ void on(float* x) {}
#endif
template <class T, int N> __global__ void general(T* x) {}
__global__ void reference(float& x) {}
__global__ void twice(float* x) {}
__global__ void twice(int* x) {}
"""


@needs_compiler
def test_kernels_passed_over_are_listed_with_line_and_reason(tmp_path: Path) -> None:
    found = found_in(tmp_path, PASSED_OVER)
    assert {name: signature.line for name, signature in found.kernels.items()} == {
        "made": 3,
        "on": 10,
        "general": 12,
    }
    assert {each.file.parent for each in found.passed_over} == {tmp_path}
    assert [(each.name, each.line, each.reason) for each in found.passed_over] == [
        ("off", 5, "`#if 0` on line 4 leaves it out"),
        ("never", 8, "`#ifdef NEVER` on line 7 leaves it out"),
        ("general", 12, "it is a template; a launch names an instantiation, such as general<float, 128>"),
        ("reference", 13, "its parameter x is a reference, which Python cannot pass"),
        ("twice", 14, "the file has two kernels of this name"),
        ("twice", 15, "the file has two kernels of this name"),
    ]


@needs_compiler
def test_a_kernel_in_a_header_is_found_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "body.cuh").write_text("\n__global__ void inner(float* x) {}\n")
    signature = found_in(tmp_path, '#include "body.cuh"\n').kernels["inner"]
    assert (signature.file.name, signature.line) == ("body.cuh", 2)


def test_errors_of_names_say_what_the_file_has(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text("template <class T> __global__ void k(T* x) {}\n__global__ void m(int& x) {}")
    for name, message in [
        ("k", r"k\.cu: k is a template; a launch names an instantiation, such as k<float>"),
        ("m", r"k\.cu has no kernel 'm'; m \(line 2\): its parameter x is a reference"),
        ("n<int>", r"k\.cu has no kernel 'n<int>'; it has k"),
    ]:
        with pytest.raises(KernelError, match=message):
            Kernel(tmp_path / "k.cu", name)


TYPES = """
#include <cuda_fp16.h>
typedef float scalar_t;
enum Kind : short { first, second };
struct Shape { int h, w; float scale[2]; };
__constant__ scalar_t taps[2][3];
template <typename T, int N> __global__ void sum(const T* x, T* out, size_t n) {
    for (size_t i = threadIdx.x; i < n; i += blockDim.x) out[i] = x[i] * N;
}
namespace inner { __global__ void plain(const scalar_t x[], volatile scalar_t* out) { out[0] = abs(x[0]); } }
__global__ void all(float4 v, Shape s, Kind kind, bool flag, unsigned char byte, int64_t wide, __half h, double* out) {
    const double values[] = {v.x, v.w, double(s.w), s.scale[1], double(kind), double(flag), double(byte),
                             double(wide), h};
    for (int i = 0; i < 9; i++) out[i] = values[i];
}
__global__ void vectors(const float4* x, float2* out, __half* halves) {
    out[threadIdx.x] = make_float2(x[threadIdx.x].y, x[threadIdx.x].w);
    halves[threadIdx.x] = x[threadIdx.x].z;
}
"""


@needs_compiler
@pytest.mark.parametrize("mode", ["cpu", "threads", "check"])
class TestTypes:
    """Types that the compiler describes, in every mode."""

    def launch(self, folder: Path, mode: str, name: str, *args: object, block: int = 1) -> None:
        (folder / "k.cu").write_text(TYPES)
        with kernel_mode(mode):
            launch(Kernel(folder / "k.cu", name), (1,), (block,), args)

    @pytest.mark.parametrize(("name", "dtype"), [("sum<float, 3>", np.float32), ("sum<long long, 3>", np.int64)])
    def test_an_instantiation_of_a_template_is_launched_by_its_name(
        self, tmp_path: Path, mode: str, name: str, dtype: type
    ) -> None:
        x, out = np.arange(5, dtype=dtype), np.zeros(5, dtype)
        self.launch(tmp_path, mode, name, x, out, 5)
        assert out.tolist() == [0, 3, 6, 9, 12]

    def test_a_kernel_in_a_namespace_takes_arrays_of_a_typedef(self, tmp_path: Path, mode: str) -> None:
        x, out = np.array([-2.75], np.float32), np.zeros(1, np.float32)
        self.launch(tmp_path, mode, "inner::plain", x, out)
        assert out[0] == 2.75

    def test_vectors_structs_and_every_scalar_are_passed_by_value(self, tmp_path: Path, mode: str) -> None:
        out = np.zeros(9)
        self.launch(tmp_path, mode, "all", (1, 2, 3, 4), (5, 6, (7, 8)), 1, True, 200, -(2**40), 0.5, out)
        assert out.tolist() == [1, 4, 6, 8, 1, 1, 200, -(2**40), 0.5]

    def test_arrays_of_vectors_are_arrays_of_their_components(self, tmp_path: Path, mode: str) -> None:
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        out, halves = np.zeros(2, np.complex64), np.zeros(2, np.float16)
        self.launch(tmp_path, mode, "vectors", x, out, halves, block=2)
        assert (out.tolist(), halves.tolist()) == ([1 + 3j, 5 + 7j], [2, 6])

    def test_an_array_of_another_dtype_is_refused(self, tmp_path: Path, mode: str) -> None:
        x = np.arange(5, dtype=np.float64)
        with pytest.raises(DtypeError, match="argument x is float64, expected float32"):
            self.launch(tmp_path, mode, "sum<float, 3>", x, x, 5)
