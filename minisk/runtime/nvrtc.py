"""Compile kernels as for a GPU, without a GPU, and read what each needs: NVRTC from its package or from CUDA's folder.

What NVRTC refuses, nvcc refuses as well. ptxas, which NVRTC runs, reports registers, shared memory and spills.
"""

import ctypes
import functools
import importlib.util
import math
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import KernelError
from .host_code import blank_declaration
from .left_out import device_files
from .preprocess import PACKAGE

_REGISTERS = 65536  # of a multiprocessor, on all of ARCHITECTURES
# Headers that nvcc finds and NVRTC does not need: what they declare is built in.
_EMPTY_HEADERS: tuple[str, ...] = (
    "cuda_runtime.h",
    "cuda_runtime_api.h",
    "cuda.h",
    "device_launch_parameters.h",
    "stdio.h",
    "math.h",
)
_EMPTY_HEADERS += ("stdlib.h", "assert.h", "string.h", "float.h", "limits.h", "cmath", "cstdio", "cassert", "cstdlib")
_INTEGERS = "".join(
    f"typedef signed {c} int{bits}_t; typedef unsigned {c} uint{bits}_t;\n"
    for bits, c in ((8, "char"), (16, "short"), (32, "int"), (64, "long long"))
)
# A store to a __constant__ variable is a warning, but it has no effect.
_ERROR = re.compile(
    r"^(?:warning: )?(?P<file>[^\s(]+)\((?P<line>\d+)\): "
    r"(?:(?:catastrophic )?error(?: #[\w-]+)?: |Warning: (?=Cannot store))(?P<text>.*)",
    re.MULTILINE,
)
_MISSING = re.compile(r'cannot open source file "([^"]+)"')
_HOST = re.compile("without (execution|memory) space annotations")
_MOST_ATTEMPTS = 20


class Architecture(NamedTuple):
    """Limits of a streaming multiprocessor; CUDA C++ Programming Guide, table "Technical Specifications"."""

    gpus: str
    threads: int
    blocks: int
    shared: int  # bytes
    reserved: int  # bytes of shared memory that the system takes from each block


ARCHITECTURES = {
    75: Architecture("Turing, T4", 1024, 16, 64 << 10, 0),
    80: Architecture("A100", 2048, 32, 164 << 10, 1024),
    86: Architecture("RTX 30", 1536, 16, 100 << 10, 1024),
    89: Architecture("RTX 40, L4", 1536, 24, 100 << 10, 1024),
    90: Architecture("H100", 2048, 32, 228 << 10, 1024),
    100: Architecture("B200", 2048, 32, 228 << 10, 1024),
    120: Architecture("RTX 50", 1536, 24, 100 << 10, 1024),
}


class Usage(NamedTuple):
    """What ptxas reports for one kernel: registers per thread, bytes of static shared memory, bytes spilled."""

    registers: int
    shared: int
    spilled: int

    def occupancy(self, architecture: Architecture, block: int = 256, dynamic_shared: int = 0) -> float:
        """Return the share of a multiprocessor's threads that can be resident at once, in blocks of `block` threads.

        Registers are given to warps in units of 256; the scarcest of registers, threads, blocks and shared memory
        decides how many blocks fit.
        """
        warps = -(-block // 32)
        per_warp = math.ceil(self.registers * 32 / 256) * 256
        fits = [_REGISTERS // per_warp // warps, architecture.threads // (32 * warps), architecture.blocks]
        fits.append(architecture.shared // max(1, self.shared + dynamic_shared + architecture.reserved))
        return min(fits) * 32 * warps / architecture.threads


class GpuError(NamedTuple):
    """One error of NVRTC. line: of the file, from 1; 0 if it is not known."""

    file: str
    line: int
    text: str


class GpuBuild(NamedTuple):
    """The result of compiling a file: its errors, the usage of each kernel, and NVRTC's whole log."""

    errors: list[GpuError]
    usages: dict[str, Usage]
    log: str


@functools.cache
def nvrtc() -> ctypes.CDLL | None:
    """Load NVRTC; return None if it is not installed."""
    found = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    candidates = [path for folder in folders for path in sorted(folder.glob("*/lib/libnvrtc.so.*"))]
    candidates += sorted(_cuda_folder().glob("lib64/libnvrtc.so.*"))
    for path in candidates:
        return ctypes.CDLL(str(path))
    return None


def compile_for(path: Path, defines: Sequence[str], architecture: int, names: Sequence[str] = ()) -> GpuBuild:
    """Compile the device code of a kernel file with NVRTC.

    NVRTC refuses host code. What it names as such is left out, and the rest is compiled again: if device code uses it,
    that is an error, as for nvcc. Headers that NVRTC does not have are taken as empty.

    Args:
        path: the kernel file.
        defines: macros such as "REAL=float".
        architecture: a key of ARCHITECTURES.
        names: kernels that are not extern "C", and instantiations of templates: "k<float>".

    Raises:
        KernelError: NVRTC is not installed.
    """
    files = {str(each): found for each, found in device_files(path).items()}
    texts = {file: found.text for file, found in files.items()}
    host = {
        part.name: part.line for found in files.values() for part in found.left_out
    }  # the lines of what is left out
    empty = dict.fromkeys(_EMPTY_HEADERS, "") | {"stdint.h": _INTEGERS, "cstdint": _INTEGERS}
    options = [f"-arch=sm_{architecture}", "-std=c++17", "-Xptxas", "-v", *(f"-D{define}" for define in defines)]
    options += [f"-I{folder}" for folder in (path.parent, PACKAGE, *header_folders())]
    for _ in range(_MOST_ATTEMPTS):
        own = {found.name: f'#line 1 "{file}"\n{texts[file]}' for file, found in files.items()}
        build = _compile(own.pop(path.name), path.name, empty | own, options, names)
        missing = {found[1] for error in build.errors if (found := _MISSING.search(error.text))} - empty.keys()
        refused = {(e.file, e.line) for e in build.errors if _HOST.search(e.text) and e.file in files}
        if not missing and not refused:
            break
        empty |= dict.fromkeys(missing, "")
        for file, line in sorted(refused, reverse=True):
            texts[file], name = blank_declaration(texts[file], line)
            host[name.rpartition("::")[2]] = line
    return build._replace(errors=[_explained(_with_short_name(error, files), host) for error in build.errors])


def _with_short_name(error: GpuError, files: Collection[str]) -> GpuError:
    """Return an error with the name of its file if that is the kernel file or one of its headers."""
    return error._replace(file=Path(error.file).name) if error.file in files else error


def _compile(
    text: str, name: str, headers: Mapping[str, str], options: Sequence[str], names: Sequence[str]
) -> GpuBuild:
    library = nvrtc()
    if library is None:
        raise KernelError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    program = ctypes.c_void_p()
    given = len(headers), _strings(list(headers.values())), _strings(list(headers))
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), *given)
    for expression in names:
        library.nvrtcAddNameExpression(program, expression.encode())
    failed = library.nvrtcCompileProgram(program, len(options), _strings(options))
    log = _log(library, program)
    written = {} if failed else {_lowered(library, program, expression): expression for expression in names}
    library.nvrtcDestroyProgram(ctypes.byref(program))
    errors = [GpuError(found["file"], int(found["line"]), found["text"]) for found in _ERROR.finditer(log)]
    if failed and not errors:
        errors = [GpuError(name, 0, log.strip() or "NVRTC gives no reason")]
    return GpuBuild(errors, {written.get(key, key): usage for key, usage in _usages(log)}, log)


def _explained(error: GpuError, host: Mapping[str, int]) -> GpuError:
    """Return an error about host code that device code uses in the words of its cause."""
    found = re.search(r'identifier "(\w+)" is undefined', error.text)
    if found is None or found[1] not in host:
        return error
    name = found[1]
    return error._replace(text=f"device code uses {name}, line {host[name]}, which has no __device__")


def _strings(texts: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, text)
    return text.value.decode(errors="replace")


def _lowered(library: ctypes.CDLL, program: ctypes.c_void_p, name: str) -> str:
    """Return the mangled name of a kernel; it is valid until the program is destroyed."""
    text = ctypes.c_char_p()
    library.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(text))
    return (text.value or b"").decode()


def _usages(log: str) -> Iterator[tuple[str, Usage]]:
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)
        registers, shared = re.search(r"Used (\d+) registers", part), re.search(r"(\d+) bytes smem", part)
        spills = re.findall(r"(\d+) bytes spill", part)
        assert name and registers and spills, part
        yield name[1], Usage(int(registers[1]), int(shared[1]) if shared else 0, sum(map(int, spills)))


def _cuda_folder() -> Path:
    return Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")


def header_folders() -> list[Path]:
    """Return the folders of NVIDIA's own headers, such as cuda_fp16.h, from its packages or from CUDA's folder."""
    found = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    candidates = [path for folder in folders for path in folder.glob("*/include")] + [_cuda_folder() / "include"]
    found_folders = [folder for folder in candidates if (folder / "cuda_fp16.h").is_file()]
    # CUDA 13 keeps cuda/std/…, which cooperative_groups.h includes, in a folder of its own.
    return [each for folder in found_folders for each in (folder, folder / "cccl") if each.is_dir()]
