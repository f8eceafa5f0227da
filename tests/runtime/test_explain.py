"""A file that uses what minisk does not run is refused in one sentence that names the word and its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_library import needs_compiler

from minisk.errors import KernelError
from minisk.runtime import BuildError, Kernel
from minisk.runtime.explain import sentence_about, unsupported
from minisk.sanitizer import check_file

CASES = {
    "tex2D": ("", "x[0] = tex2D<float>(0, 1, 2);", "textures and surfaces"),
    "asm": ("", 'asm volatile("membar.gl;");', "PTX is not supported"),
    "nvcuda": ("", "nvcuda::wmma::fragment<int> a;", "tensor cores"),
    "<<<": ("", "k<<<1, 32>>>(x);", "host code that launches"),  # by a kernel: a host function is left out
    "cudaMalloc": ("", "cudaMalloc(&x, 4);", "host code that calls CUDA's libraries"),
    "cub/cub.cuh": ("#include <cub/cub.cuh>", "", "CUB, Thrust"),
    "curand_kernel.h": ("#include <curand_kernel.h>", "", "cuRAND"),
    "torch/extension.h": ("#include <torch/extension.h>", "", "PyTorch's C"),
    "__shfl_down": ("", "x[0] = __shfl_down(x[0], 1);", "use the form with _sync"),
    "grid_group::sync": ("", "cooperative_groups::this_grid().sync();", "a barrier of all blocks"),
}


@needs_compiler
@pytest.mark.parametrize("word", CASES)
def test_one_sentence_names_the_word_and_its_line(tmp_path: Path, word: str) -> None:
    before, body, sentence = CASES[word]
    (tmp_path / "k.cu").write_text(f"{before}\n__global__ void k(float* x) {{\n{body}\n}}\n")
    with pytest.raises(BuildError) as error:
        Kernel(tmp_path / "k.cu", "k").compiled("threads")
    message = str(error.value)
    assert message.startswith(f"k.cu:{1 if before else 3}: `{word}`: ") and sentence in message
    assert "\n" not in message


@needs_compiler
def test_the_sentence_says_how_to_leave_out_one_kernel_of_several(tmp_path: Path) -> None:
    """And then the others are checked, although a `check:` line stands above the one that is left out."""
    good = "// check: <<<1, 32>>> x[32]\n__global__ void good(float* x) { x[threadIdx.x] = 1; }\n"
    other = "// check: <<<1, 32>>> x[32]\n__global__ void other(float* x) { cooperative_groups::this_grid().sync(); }\n"
    file = tmp_path / "two.cu"
    file.write_text(good + other)
    with pytest.raises(BuildError, match="Its other kernels are built if `#ifndef MINISK_ON_CPU` … `#endif` leaves"):
        list(check_file(file))
    file.write_text(f"#ifndef MINISK_ON_CPU\n{other}#endif\n{good}")
    checked, left_out = check_file(file)
    assert (checked.kernel, checked.problems, len(checked.reports)) == ("good", 0, 1)
    assert (left_out.kernel, left_out.place) == ("other", "two.cu:3")
    assert left_out.not_tried == "`#ifndef MINISK_ON_CPU` on line 1 leaves it out"


@needs_compiler
def test_other_mistakes_keep_the_compilers_text(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text("__global__ void k(float* x) { x[0] = undeclared; }")
    with pytest.raises(KernelError, match=r"k\.cu does not compile:\n(.|\n)*undeclared"):
        Kernel(tmp_path / "k.cu", "k").compiled("threads")


def test_a_word_belongs_to_the_first_family_that_has_it() -> None:
    assert "8 bits" in str(sentence_about("cuda_fp8.h"))
    assert "host code" in str(sentence_about("cudaMemcpyAsync"))
    assert sentence_about("atomicAdd") is None
    assert all(family.words and family.sentence for family in unsupported())
