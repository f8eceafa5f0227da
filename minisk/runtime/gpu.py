"""Compile and launch kernels on a GPU, through CuPy and NVRTC."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .cpu import Three
from .includes import included_files
from .preprocess import PACKAGE
from .signature import read_source, signature


def compile_for_gpu(path: Path, name: str, defines: Sequence[str], device: int) -> Callable[..., None]:
    """Compile a kernel for a GPU and return a function that launches it.

    Args:
        path: the kernel file.
        name: the kernel's name in it.
        defines: macros such as "REAL=float".
        device: the GPU's number.

    Returns:
        A function of grid, block, arguments and bytes of dynamic shared memory.
    """
    import cupy

    # CuPy's cache is keyed by source and options, not by the included headers: pass a checksum of them as an option.
    headers = "".join(map(read_source, included_files(path, [PACKAGE])))
    checksum = f"-DMINISK_HEADERS={zlib.crc32(headers.encode())}"
    folders = (f"-I{path.parent}", f"-I{PACKAGE}")
    options = ("-std=c++17", *folders, checksum, *(f"-D{define}" for define in defines))
    names = {} if signature(path, name).is_c else {"name_expressions": (name,)}
    function = cupy.RawModule(code=read_source(path), options=options, **names).get_function(name)

    def run(grid: Three, block: Three, args: Sequence[Any], dynamic_shared: int) -> None:
        with cupy.cuda.Device(device):
            function(grid, block, tuple(args), shared_mem=dynamic_shared)

    return run
