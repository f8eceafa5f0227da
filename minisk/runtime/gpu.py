"""Compile and launch kernels on a GPU, through CuPy and NVRTC."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cpu import Three
from .includes import included_files
from .preprocess import PACKAGE
from .signature import read_source, signature


class GpuKernel:
    """A kernel compiled for a GPU.

    Args:
        path: the kernel file.
        name: the kernel's name in it.
        defines: macros such as "REAL=float".
        device: the GPU's number.
    """

    def __init__(self, path: Path, name: str, defines: Sequence[str], device: int) -> None:
        import cupy

        # CuPy's cache is keyed by source and options, not by the included headers: an option holds their checksum.
        headers = "".join(map(read_source, included_files(path, [PACKAGE])))
        checksum = f"-DMINISK_HEADERS={zlib.crc32(headers.encode())}"
        folders = (f"-I{path.parent}", f"-I{PACKAGE}")
        options = ("-std=c++17", *folders, checksum, *(f"-D{define}" for define in defines))
        names = {} if signature(path, name).is_c else {"name_expressions": (name,)}
        self._module = cupy.RawModule(code=read_source(path), options=options, **names)
        self._function = self._module.get_function(name)
        self._device = cupy.cuda.Device(device)

    def __call__(self, grid: Three, block: Three, args: Sequence[Any], dynamic_shared: int) -> None:
        """Launch the kernel."""
        with self._device:
            self._function(grid, block, tuple(args), shared_mem=dynamic_shared)

    def variable(self, name: str) -> Any:
        """Return CuPy's pointer to a `__device__` or `__constant__` variable."""
        with self._device:
            return self._module.get_global(name)
