"""Addresses of a library's code, and the lines that they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk.errors import KernelError
from minisk.runtime import Kernel, launch

SOURCE = """
extern "C" __global__ void beyond(float* x) {
    x[threadIdx.x + 1] = 0;
}
"""


@needs_compiler
@pytest.mark.parametrize("folder", ["plain", "0xkmo", "with space"])
def test_a_line_is_found_whatever_the_name_of_its_folder(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "beyond.cu"
    file.parent.mkdir()
    file.write_text(SOURCE)
    with kernel_mode("check"), pytest.raises(KernelError, match=r"beyond\.cu:3"):
        launch(Kernel(file, "beyond"), 1, 32, (np.zeros(32, "f"),))
