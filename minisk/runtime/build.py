"""Build kernel files with the system's C++ compiler, and cache the libraries in a folder private to the user.

The name of a cached library contains a hash of everything that decides its content: source, included headers, compiler,
flags (with or without OpenMP) and the processor's features. The file ends with its own SHA-256, so a truncated or
damaged one is detected before it is loaded, and built again.
"""

import functools
import hashlib
import logging
import os
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import KernelError, visible
from .cache import BUILD_PREFIX, cache_folder, is_intact, is_library, remove_leftovers, store
from .compiler import find_compiler, run_compiler
from .explain import explain
from .exports import exports
from .includes import included_files
from .left_out import device_files
from .objects import extern_shared_arguments
from .preprocess import HEADERS, INCLUDED, PACKAGE
from .signature import read_source

log = logging.getLogger(__name__)

# A GPU has no arrays of variable length. Other warnings are printed with errors only. DWARF 4, because addr2line of
# binutils 2.40 takes the first function of a library for one of the including file if its lines are in DWARF 5.
_BASE = ["-x", "c++", "-std=c++17", "-fPIC", "-g1", "-gdwarf-4", "-Werror=vla", "-fno-strict-aliasing"]
_NATIVE = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"]
# One thread a block: sums may be reassociated, so that they vectorise; NaN and infinity keep their meaning.
_FAST = [*_NATIVE, "-fassociative-math", "-fno-signed-zeros"]
_OPENMP = "-fopenmp"
# A template that declares `extern thread_local` would call an initialiser that is defined nowhere (g++ 12).
_NO_INITIALISER = "-fno-extern-tls-init"
FLAGS = {
    "cpu": ["-DMINISK_ONE_THREAD", *_FAST, _NO_INITIALISER, _OPENMP],
    # Each page of a large stack frame is touched, so that none jumps over the end of the stack.
    "threads": ["-DMINISK_FIBERS", "-O2", "-fstack-clash-protection", _NO_INITIALISER],
    "blocks": ["-DMINISK_FIBERS", "-DMINISK_BLOCKS", *_NATIVE, "-fstack-clash-protection", _NO_INITIALISER, _OPENMP],
    # The calls that the sanitizers' instrumentation makes are defined by include/instrumentation.h and undefined.h.
    # Registers that are read before they are written hold a pattern. Vectors are accessed whole, as on a GPU.
    "check": [
        "-DMINISK_FIBERS",
        "-DMINISK_CHECK",
        "-O1",
        "-g",
        "-gdwarf-4",
        "-fsanitize=thread",
        "-fsanitize=bounds-strict,alignment,signed-integer-overflow,shift,integer-divide-by-zero",
        "-fno-tree-sra",
        "-fstack-clash-protection",
        "-ftrivial-auto-var-init=pattern",
        "-fno-delete-null-pointer-checks",
        _NO_INITIALISER,
    ],
}
_UNKNOWN_TO_CLANG = {"-fno-tree-sra", _NO_INITIALISER}
_OPENMP_PROGRAM = "#include <omp.h>\nint minisk_threads() { return omp_get_max_threads(); }\n"
_EMPTY_PROGRAM = "int minisk_threads() { return 1; }\n"
# Part of every key; another number gives up all libraries that were built before.
_CACHE_VERSION = "3"
_BYTES = "surrogateescape"  # how Python keeps the bytes of a path that is not UTF-8: they are written as they were


class BuildError(KernelError):
    """A kernel file was not built, or its library cannot be loaded."""


def build(source: Path, mode: str, defines: Sequence[str], is_rebuilt: bool = False) -> Path:
    """Return the path of a shared library with the kernels of a file, building it if it is not in the cache.

    Flags in $CXXFLAGS are appended to minisk's own. Without OpenMP, a library has another key.

    Args:
        source: the kernel file.
        mode: a key of FLAGS.
        defines: macros such as "REAL=float".
        is_rebuilt: build it even if it is in the cache.

    Raises:
        BuildError: with the compiler's message, or the reason why nothing was written.
    """
    given = os.environ.get("CXXFLAGS", "")
    try:
        flags = [*_flags(mode), *(f"-D{define}" for define in defines), *shlex.split(given)]
    except ValueError as error:
        raise BuildError(f"CXXFLAGS is {given!r}: {error}") from None
    folder = cache_folder()
    library = _library(folder, source, mode, flags)
    if is_intact(library) and not is_rebuilt:
        return library
    try:
        if _OPENMP in flags and not _has_openmp(find_compiler()[0]):
            flags.remove(_OPENMP)
            library = _library(folder, source, mode, flags)
        if is_rebuilt or not is_intact(library):
            _announce(f"building {source.name} for the CPU ({' '.join([mode, *defines])}); kept in {library.parent}")
            _build(source, flags, library)
    except OSError as error:
        raise BuildError(f"{source.name} cannot be built in {folder}: {error}") from error
    return library


def _flags(mode: str) -> list[str]:
    """Return the flags of a mode as the compiler names them. clang does not split vectors into their members."""
    if "clang" not in find_compiler()[1]:
        return FLAGS[mode]
    return [flag.replace("bounds-strict", "array-bounds") for flag in FLAGS[mode] if flag not in _UNKNOWN_TO_CLANG]


def _library(folder: Path, source: Path, mode: str, flags: list[str]) -> Path:
    return folder / f"{source.stem}-{mode}-{_key(source, flags)}.so"


def _key(source: Path, flags: list[str]) -> str:
    compiler = [*find_compiler(), *_BASE, *flags, _processor()]
    folders = [PACKAGE, HEADERS, *(Path(flag[2:]) for flag in flags if flag.startswith("-I"))]
    own = [f"{path}\n{read_source(path)}" for path in included_files(source, folders)]
    texts = [_CACHE_VERSION, str(source), read_source(source), *own, *_headers(), *compiler]
    return hashlib.sha256("\0".join(texts).encode(errors=_BYTES)).hexdigest()[:24]


@functools.cache
def _headers() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(HEADERS.rglob("*")) if path.is_file())


@functools.cache
def _processor() -> str:
    """Return what -march=native depends on: machines that differ may share a home directory."""
    features = re.search(r"^(flags|Features).*", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return platform.machine() + (features[0] if features else "")


@functools.cache
def _has_openmp(compiler: str) -> bool:
    """Return whether the compiler builds a small program with OpenMP.

    A compiler may also fail because memory or disk is full, or because a signal ends it. So it lacks OpenMP only if it
    refuses the program with OpenMP, builds one without, and refuses the first one again.

    Raises:
        BuildError: the compiler does not even build the program without OpenMP.
    """
    if not _compile(_OPENMP_PROGRAM, [_OPENMP])[1]:
        return True
    error = _compile(_EMPTY_PROGRAM, [])[1]
    if error:
        raise BuildError(f"the C++ compiler {compiler} does not compile:\n{error}")
    if not _compile(_OPENMP_PROGRAM, [_OPENMP])[1]:
        return True
    log.warning("%s has no OpenMP: kernels run on one processor", compiler)
    return False


def _build(source: Path, flags: list[str], library: Path) -> None:
    """Compile the kernels of a file into the cache. Raises BuildError or OSError."""
    text, headers = _unit(source)
    remove_leftovers(library.parent)
    content, error = _compile(text + exports(source), [*flags, f"-iquote{source.parent}"], headers)
    if error:
        raise BuildError(explain(source, error) or f"{source.name} does not compile:\n{error}")
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=BUILD_PREFIX) as folder:
        store(content, Path(folder) / library.name, library)


def _unit(source: Path) -> tuple[str, dict[str, str]]:
    """Return the text that includes a kernel file, or its text without host code; and the headers for that text."""
    files = device_files(source)
    if not any(each.left_out for each in files.values()):
        return f'#include "cuda_on_cpu.h"\n#include "{source}"\n', {}
    texts = {each.name: f'#line 1 "{path}"\n{each.text}\n' for path, each in files.items()}
    text = texts.pop(files[source].name)
    return f'#include "cuda_on_cpu.h"\n{text}#line 1 "exports"\n', texts


def _compile(unit: str, flags: list[str], headers: Mapping[str, str] | None = None) -> tuple[bytes, str]:
    """Compile and link a program; return the library's bytes and the error message, "" if there was none.

    headers: texts by the names that the program includes.

    In two steps, so that a library of mode `check` is not linked with ThreadSanitizer's runtime. The compiler's own
    temporary files lie in the same folder as its output, which is removed with them.
    """
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=BUILD_PREFIX) as folder:
        text, compiled, linked = (Path(folder) / name for name in ("unit.cpp", "unit.o", "unit.so"))
        _write({text.name: unit, **(headers or {})}, folder)
        openmp = [flag for flag in flags if flag == _OPENMP]
        compiling = [*_BASE, *INCLUDED, *flags, "-c", str(text), "-o", str(compiled)]
        linking = ["-shared", "-fPIC", "-Wl,-Bsymbolic", *openmp, str(compiled), "-o", str(linked)]
        error = run_compiler(compiling, folder)
        error = error or run_compiler([*linking, *extern_shared_arguments(compiled)], folder)
        if error:
            return b"", error
        content = linked.read_bytes() if linked.is_file() else b""
        return content, "" if is_library(content) else "the compiler wrote no library"


def compiler_warnings(source: Path, mode: str, defines: Sequence[str], kinds: Sequence[str]) -> str:
    """Return the compiler's warnings about a kernel file; "" for none. kinds: such as "uninitialized"."""
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=BUILD_PREFIX) as folder:
        text = Path(folder) / "unit.cpp"
        unit, headers = _unit(source)
        _write({text.name: unit, **headers}, folder)
        flags = [f"-iquote{source.parent}"] + [flag for flag in [*_BASE, *_flags(mode)] if flag != "-w"]
        wanted = [*(f"-Werror={kind}" for kind in kinds), *(f"-D{define}" for define in defines)]
        return run_compiler([*flags, *wanted, *INCLUDED, "-S", str(text), "-o", f"{folder}/unit.s"], folder)


def _write(texts: Mapping[str, str], folder: str) -> None:
    for name, text in texts.items():
        (Path(folder) / name).write_text(text, encoding="utf-8", errors=_BYTES)


def _announce(message: str) -> None:
    """Log the message, and print it at a terminal: compiling takes seconds."""
    log.info("%s", message)
    if sys.stderr.isatty():
        print(f"minisk: {visible(message)}", file=sys.stderr)
