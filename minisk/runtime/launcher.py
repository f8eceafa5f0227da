"""Launch a kernel: on a GPU through CuPy, on the CPU through the library built from the same `.cu`.

    SCALE = Kernel("scale.cu", "scale")
    launch(SCALE, grid=(planes,), block=(256,), args=(spatial, factor, x, out))

The device of the arrays and MINISK_KERNELS (mode.py) decide which one.
"""

import math
import operator
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..backend import Array, device_of
from ..errors import DeviceError, DtypeError, KernelError, ShapeError
from .build import BuildError
from .cache import source_file
from .checked import CheckedKernel
from .cpu import HostKernel, Three
from .description import accepts, scalar
from .exports import instance_define
from .findings import CheckReport
from .gpu import GpuKernel
from .mode import kernel_mode
from .packing import LARGEST_INDEX, Args
from .signature import REAL, Parameter, kernels_in, locate, signature, type_names

_LARGEST_YZ = 65535  # CUDA's limit for y and z of a grid
Sizes: TypeAlias = Sequence[int]  # of a grid or a block, one to three
Compiled: TypeAlias = tuple[list[np.dtype[Any] | None], Callable[..., None]]


class Kernel:
    """One kernel of a `.cu` file, with the constants it is compiled with. Nothing is compiled before the first launch.

    Args:
        file: the name of a file of minisk's own, the path of yours, or the source text itself.
        name: a `__global__` function in it, or an instantiation of a template, such as "k<float, 128>".
        constants: macros to compile it with.

    Raises:
        KernelError: there is no such file or kernel.
    """

    def __init__(self, file: str | Path, name: str, **constants: int | str) -> None:
        is_text = isinstance(file, str) and "__global__" in file
        self.path = source_file(str(file)) if is_text else locate(file)
        self.name, self.constants = name, constants
        self.signature = signature(self.path, name)
        self._compiled: dict[tuple[str, str, bool], Compiled] = {}
        self._errors: dict[tuple[str, str, bool], str] = {}  # a compiler that failed is not run again
        parameters = self.signature.parameters
        self._of_reals = [i for i, each in enumerate(parameters) if each.is_array and each.type == "real"]

    def __call__(self, grid: Sizes | int, block: Sizes | int, args: Args, *, shared_mem: int = 0) -> None:
        """Launch the kernel, with the arguments of CuPy's RawKernel; `launch` describes them."""
        launch(self, grid, block, args, shared_mem)

    def get_global(self, name: str, dtype: str = "float32", device: str = "cpu") -> Any:
        """Return the memory of a `__device__` or `__constant__` variable, to read and write.

        Args:
            name: the variable's.
            dtype: the stored dtype, `real`, of the launches that use it.
            device: "cpu", or a GPU such as "cuda:0". Each mode of the CPU has variables of its own.

        Returns:
            A NumPy array; on a GPU CuPy's pointer.

        Raises:
            KernelError: there is no such variable.
        """
        target = self._mode() if device == "cpu" else device
        return self.compiled(target, np.dtype(dtype).char)[1].variable(name)  # type: ignore[attr-defined]

    def _mode(self) -> str:
        """Return which library the CPU runs."""
        mode = kernel_mode()
        if mode in ("threads", "check"):
            return mode
        return "cpu" if self.signature.any_block else "blocks"

    def compiled(self, target: str, real: str = "f", is_huge: bool = False) -> Compiled:
        """Return the arguments' dtypes and a function that runs the kernel, compiled on the first call.

        Args:
            target: "cuda:0", "cpu", "blocks", "threads" or "check".
            real: NumPy's letter for the stored dtype, "e", "f" or "d".
            is_huge: index with 64 bits.

        Raises:
            KernelError: there is no compiler.
            BuildError: the file is not built; the next call raises it again without another attempt.
        """
        key = (target, real, is_huge)
        if key not in self._compiled:
            if key in self._errors:
                raise BuildError(self._errors[key])
            try:
                self._compiled[key] = self._compile(target, real, is_huge)
            except BuildError as error:
                self._errors[key] = str(error)
                raise
        return self._compiled[key]

    def known(self, args: Args) -> HostKernel | None:
        """Return the kernel as an earlier launch compiled it for a CPU; None for other devices and modes to prove it.

        Args:
            args: of a launch that was not checked.
        """
        reals = [args[i].dtype.char for i in self._of_reals if i < len(args) and type(args[i]) is np.ndarray]
        if self._of_reals and not reals:
            return None
        real = reals[0] if reals else "f"
        mode = self._mode()
        compiled = self._compiled.get((mode, real, False)) if mode in ("cpu", "blocks") else None
        return None if compiled is None else compiled[1]  # type: ignore[return-value]

    def dtypes(self, real: str = "f") -> list[np.dtype[Any]]:
        """Return the dtype of each argument, or of its elements; builds the kernel if a type's name does not say it.

        Args:
            real: NumPy's letter for the stored dtype, "e", "f" or "d".
        """
        types = type_names(real)
        declared = [parameter.dtype(types) for parameter in self.signature.parameters]
        if self.signature.template is not None or None in declared:
            declared = self.compiled("check", real)[0]
        return [dtype for dtype in declared if dtype is not None]

    def _compile(self, target: str, real: str, is_huge: bool) -> Compiled:
        types = type_names(real, is_huge)
        defines = [f"REAL={types['real']}", f"INDEX={types['index_t']}"]
        defines += [f"{name}={value}" for name, value in self.constants.items()]
        if target.startswith("cuda:"):
            dtypes = [parameter.dtype(types) for parameter in self.signature.parameters]
            return dtypes, GpuKernel(self.path, self.name, defines, int(target.removeprefix("cuda:")))
        kind = CheckedKernel if target == "check" else HostKernel
        compiled = kind(self.path, self.name, target, [*defines, *instance_define(self.name, self.signature)])
        return [*compiled.dtypes], compiled


def launch(kernel: Kernel, grid: Sizes | int, block: Sizes | int, args: Args, dynamic_shared: int = 0) -> None:
    """Run a kernel.

    Args:
        kernel: which one.
        grid: blocks, one to three numbers.
        block: threads of a block, one to three numbers.
        args: the arguments in the order of the kernel's signature. Arrays must be C-contiguous and of the dtype
            declared (`real`: all of one of float16, float32, float64), all NumPy or all on one GPU. None, or 0, is a
            null pointer. Python numbers are converted to the type declared.
        dynamic_shared: bytes of dynamic shared memory.

    Raises:
        KernelError, DtypeError, DeviceError, ShapeError: something does not fit; nothing has run.
        KernelError: in modes `threads` and `check`, the kernel makes a mistake.
    """
    known = kernel.known(args)
    packed = None if known is None else known.packing.pack_usual(args)
    if known is None or packed is None:
        run, blocks, threads, values = _prepare(kernel, grid, block, args)
        run(blocks, threads, values, dynamic_shared)
    else:
        known.run(*_sizes(kernel, grid, block), packed, dynamic_shared)


def examine(
    kernel: Kernel,
    grid: Sizes | int,
    block: Sizes | int,
    args: Args,
    dynamic_shared: int = 0,
    uninitialised: Collection[str] = (),
    timeout: float | None = None,
) -> CheckReport:
    """Run a kernel once on NumPy arrays with every memory access instrumented, and return the report.

    Args:
        kernel, grid, block, args, dynamic_shared: as for `launch`.
        uninitialised: names of the arrays whose contents are undefined; reading them before writing is a finding.
        timeout: seconds after which the launch is ended, with a finding; None for no limit.

    Raises:
        as `launch`, except that mistakes of the kernel are returned.
    """
    run, blocks, threads, values = _prepare(kernel, grid, block, args, target="check")
    assert isinstance(run, CheckedKernel)
    return run.examine(blocks, threads, values, dynamic_shared, uninitialised, timeout)


def _prepare(
    kernel: Kernel, grid: Sizes | int, block: Sizes | int, args: Args, target: str | None = None
) -> tuple[Callable[..., None], Three, Three, list[Any]]:
    """Check a launch; return the compiled kernel, the grid, the block and the arguments with their declared types."""
    arrays, real = _arrays_and_dtype(kernel, args)
    blocks, threads = _sizes(kernel, grid, block)
    is_huge = any(array.size > LARGEST_INDEX for array in arrays)
    dtypes, run = kernel.compiled(target or _target(kernel, arrays), real, is_huge)
    values = [_typed(kernel, *each) for each in zip(kernel.signature.parameters, args, dtypes, strict=True)]
    return run, blocks, threads, values


def check_launch(
    kernel: Kernel, grid: Sizes | int, block: Sizes | int, args: Args, dtypes: Sequence[np.dtype[Any]]
) -> None:
    """Raise what `launch` raises before the kernel runs, without compiling it. dtypes: those of the arguments."""
    _arrays_and_dtype(kernel, args)
    _sizes(kernel, grid, block)
    for parameter, arg, dtype in zip(kernel.signature.parameters, args, dtypes, strict=True):
        _typed(kernel, parameter, arg, dtype)


def _sizes(kernel: Kernel, grid: Sizes | int, block: Sizes | int) -> tuple[Three, Three]:
    blocks, threads = _three(kernel, "grid", grid), _three(kernel, "block", block)
    count, most_threads = math.prod(threads), kernel.signature.most_threads
    if count > most_threads:
        given = block if isinstance(block, int) else tuple(block)
        raise KernelError(f"{kernel.name}: block {given} has {count} threads, it takes {most_threads} at most")
    return blocks, threads


def _arrays_and_dtype(kernel: Kernel, args: Args) -> tuple[list[Array], str]:
    """Return the arrays among the arguments, and NumPy's letter for the dtype of those declared `real`."""
    parameters = kernel.signature.parameters
    if len(args) != len(parameters):
        expected = ", ".join(parameter.name for parameter in parameters)
        raise KernelError(f"{kernel.name} takes {len(parameters)} arguments ({expected}), got {len(args)}")
    arrays, real = [], "f"
    for parameter, arg in zip(parameters, args, strict=True):
        if not parameter.is_array:
            continue
        if not hasattr(arg, "flags"):
            if arg is None or (isinstance(arg, int) and arg == 0):  # a null pointer
                continue
            remedy = ": pass its array, .data" if hasattr(getattr(arg, "data", None), "flags") else ""
            kind = type(arg).__name__
            raise DtypeError(f"{kernel.name}: argument {parameter.name} is a {kind}, not an array{remedy}")
        arrays.append(arg)
        if parameter.type == "real":
            real = arg.dtype.char
    if real not in REAL:
        raise DtypeError(f"{kernel.name}: arrays are {np.dtype(real)}, expected float16, float32 or float64")
    return arrays, real


def _typed(kernel: Kernel, parameter: Parameter, arg: Any, dtype: np.dtype[Any] | None) -> Any:
    """Return an array unchanged, after checking it, and a number as a NumPy scalar of the type declared."""
    if dtype is None:  # on a GPU, a type whose name says nothing: CuPy takes arrays and NumPy's scalars
        return arg
    if parameter.is_array:
        if not hasattr(arg, "dtype"):
            return 0  # a null pointer
        if arg.dtype != dtype and not accepts(dtype, arg.dtype):
            raise DtypeError(
                f"{kernel.name}: argument {parameter.name} is {arg.dtype}, expected {_in_words(parameter, dtype)}"
            )
        if not arg.flags.c_contiguous:
            raise ShapeError(f"{kernel.name}: argument {parameter.name}, shape {arg.shape}, is not C-contiguous")
        return arg
    try:
        return scalar(dtype, arg)
    except (TypeError, OverflowError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"expected {parameter.type}"
        if dtype.kind == "V" and dtype.names is None and dtype.subdtype is None:
            reason = f"expected {dtype.itemsize} bytes: {_why_unknown(kernel, parameter)}"
        raise KernelError(f"{kernel.name}: argument {parameter.name} is {arg!r}, {reason}") from error


def _in_words(parameter: Parameter, dtype: np.dtype[Any]) -> str:
    """Return the dtype that a pointer takes, with CUDA's name where it is another: "float32 for float4"."""
    if dtype.kind != "V":
        return str(dtype)
    base = "records or bytes" if dtype.names else str(dtype.base)
    return f"{base} ({parameter.type})"


def _why_unknown(kernel: Kernel, parameter: Parameter) -> str:
    """Return why the fields of a parameter's type are not known, with the place of its definition if that is known."""
    found = kernels_in(kernel.path)
    for number in found.structs_of(parameter.type):
        file, line = found.places[number]
        problem = found.structs[number].problem
        return f"the fields of {parameter.type}, {file.name}:{line}, are not known, because {problem}"
    return f"{kernel.path.name} does not define {parameter.type} at file scope"


def _target(kernel: Kernel, arrays: Sequence[Array]) -> str:
    """Return the target to compile for: the arrays' GPU, or a mode of the CPU."""
    device, *others = sorted({device_of(array) for array in arrays}) or ["cpu"]
    if others:
        raise DeviceError(f"{kernel.name}: arrays are on {device}, {', '.join(others)}, expected one device")
    if device != "cpu":
        return device
    return kernel._mode()


def _three(kernel: Kernel, what: str, sizes: Sizes | int) -> Three:
    """Return x, y and z of a grid or block; missing ones are 1."""
    if type(sizes) is tuple and len(sizes) == 1 and type(sizes[0]) is int and 1 <= sizes[0] <= LARGEST_INDEX:
        return sizes[0], 1, 1  # the most frequent case: this function takes time at every launch
    given = sizes if isinstance(sizes, tuple) else tuple(sizes) if isinstance(sizes, list) else (sizes,)
    for size in given:
        if type(size) is not int:
            given = _whole(kernel, what, given)
            break
    if not 1 <= len(given) <= 3 or min(given) < 1:
        raise KernelError(f"{kernel.name}: {what} {tuple(given)} must be one to three positive numbers")
    x = given[0]
    y = given[1] if len(given) > 1 else 1
    z = given[2] if len(given) > 2 else 1
    if x > LARGEST_INDEX or y > _LARGEST_YZ or z > _LARGEST_YZ:
        raise KernelError(f"{kernel.name}: {what} {tuple(given)} is beyond CUDA's limit, (2**31 - 1, 65535, 65535)")
    return x, y, z


def _whole(kernel: Kernel, what: str, sizes: Sequence[Any]) -> tuple[int, ...]:
    """Return sizes such as NumPy's integers as Python's."""
    try:
        return tuple(map(operator.index, sizes))
    except TypeError:
        raise KernelError(f"{kernel.name}: {what} {sizes} must be whole numbers") from None
