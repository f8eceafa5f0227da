"""Every kernel compiles for every GPU without warnings or spilled registers; docs/kernels.md lists all kernels."""

from __future__ import annotations

import re

import gpu_compile
import pytest

from minisk.runtime.nvrtc import ARCHITECTURES, Usage, nvrtc
from minisk.runtime.preprocess import PACKAGE
from minisk.runtime.signature import signatures

needs_nvrtc = pytest.mark.skipif(nvrtc() is None, reason="NVRTC is not installed (extra nvrtc)")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("unit", gpu_compile.units(), ids=str)
def test_compiles_without_warnings_or_spills(unit: gpu_compile.Unit, architecture: int) -> None:
    for real in gpu_compile.TYPES:
        usages = gpu_compile.compile_unit(unit, architecture, real)
        assert set(usages) == set(signatures(unit.path))
        assert not [name for name, usage in usages.items() if usage.spilled]


@needs_nvrtc
def test_a_warning_is_an_error(tmp_path: object) -> None:
    path = tmp_path / "warns.cu"  # type: ignore[operator]
    path.write_text('#include "common.cuh"\nextern "C" __global__ void warns(real* x) { int unused = 1; }')
    with pytest.raises(RuntimeError, match=r'(?s)warns\.cu for sm_80, float:.*"unused" was declared'):
        gpu_compile.compile_unit(gpu_compile.Unit(path, (), ()), 80, "float")


def test_occupancy_counts_registers_threads_and_shared_memory() -> None:
    a100 = ARCHITECTURES[80]
    assert Usage(32, 0, 0).occupancy(a100) == 1  # 65,536 registers / 32 = 2,048 threads
    assert Usage(33, 0, 0).occupancy(a100) == 0.75  # 40 registers a thread, in steps of 8: 6 blocks of 256
    assert Usage(32, 48 << 10, 0).occupancy(a100) == 3 / 8  # 3 × 49 KiB of 164


def test_the_document_lists_every_kernel() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", gpu_compile.DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == {name for path in PACKAGE.glob("**/*.cu") for name in signatures(path)}
