"""The sizes and values to check a kernel with: lines of comment above it, and lines of a text file.

    // check: <<<(6, 3), 64>>> spatial=2051 a[6] x[6*spatial] out[6*spatial]

Between <<< and >>> stand grid, block and optionally bytes of dynamic shared memory (64*real: room for 64 elements).
Then comes every scalar with its value, and every array with its length, each without spaces:

    n=5                   a scalar, or + - * / of those before it; a name that is no argument is a macro to compile with
    x[6*n]                an array: random if the kernel declares it const, otherwise uninitialised
    x[n]=random           normally distributed elements
    x[n]=below(9)         random integers, 0 to 8
    x[n]=0                one value for all elements
    x[2]=5,n              one value for each element (for structs, for each number of each element)
    x=0                   a null pointer
    v=1,2                 the components of a vector argument, or the fields of a struct

A case of a template names an instantiation, as a launch in C++ does:

    // check: scale<float, 4><<<2, 32>>> n=50 x[n] out[n]

A kernel may have several such lines. Further ones for the kernels of `scale.cu` may stand in `cases/scale.txt` beside
it, each after the kernel's name. Empty lines and lines that begin with # are skipped there.

    scale: <<<2, 32>>> n=50 x[n] out[n]
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError, MiniskError
from ..runtime import BuildError, Kernel
from ..runtime.description import numbers_of
from ..runtime.launcher import check_launch
from ..runtime.signature import Parameter, kernels_in, locate, read_source, signature, signatures
from .available_memory import check_memory
from .expressions import Number, parse_number, parse_numbers, parse_sizes

_COMMENT = re.compile(r"\s*//\s*check:(?P<text>.*)")
_WITHOUT_COLON = re.compile(r"\s*//\s*check\s*<<<")
_CASE_FILE_LINE = re.compile(r"(?P<kernel>\w+)\s*:(?P<text>.*)")
_CASE = re.compile(r"\s*(?P<name>\w.*?)?\s*<<<(?P<sizes>.*?)>>>(?P<values>.*)")
_VALUE = re.compile(r"(?P<name>\w+)(?:\[(?P<length>[^\]]+)\])?(?:=(?P<value>\S+))?")
_BELOW = re.compile(r"below\((?P<bound>.*)\)")


class Case(NamedTuple):
    """One launch to check; its fields are the arguments of `examine`, in order."""

    kernel: Kernel
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[Any, ...]
    dynamic_shared: int
    uninitialised: frozenset[str]


class _Line(NamedTuple):
    """A case as written. place: file and line."""

    place: str
    kernel: str
    text: str


class _Values(NamedTuple):
    """The values of a case.

    lists: the components of vectors and the fields of structs; arrays: for each name, the expression of its length and
    that of its elements, or None.
    """

    scalars: dict[str, Number]
    lists: dict[str, list[Number]]
    arrays: dict[str, tuple[str, str | None]]


def cases(file: str | Path, dtype: str = "float32") -> dict[str, list[Case]]:
    """Return the cases of every kernel in a file; a kernel without any has an empty list.

    Args:
        file: the name of a file of minisk's own, or the path of yours.
        dtype: the stored dtype, `real`: float16, float32 or float64.

    Raises:
        KernelError: a case cannot be read; the message names file and line.
    """
    path = locate(file)
    found: dict[str, list[Case]] = {name: [] for name in signatures(path)}
    headers = {signature.file for signature in signatures(path).values()} - {path}
    above = [line for file in [path, *sorted(headers)] for line in _lines_above_kernels(path, file)]
    for line in [*above, *_lines_of_case_file(path)]:
        try:
            case = _case(path, line, np.dtype(dtype))
        except ValueError as error:
            raise KernelError(f"{line.place}: {line.kernel}: {error}") from error
        found[case.kernel.name if case.kernel.name in found else line.kernel].append(case)
    return found


def read_case(file: str | Path, place: str, kernel: str, text: str, dtype: str = "float32") -> Case:
    """Return one case that stands elsewhere than above its kernel.

    Args:
        file: the kernel's file.
        place: file and line of the text, for the error.
        kernel: its name.
        text: what follows `check:`.
        dtype: as for `cases`.

    Raises:
        KernelError: the case cannot be read.
    """
    try:
        return _case(locate(file), _Line(place, kernel, text), np.dtype(dtype))
    except ValueError as error:
        raise KernelError(f"{place}: {kernel}: {error}") from error


def _lines_above_kernels(path: Path, file: Path) -> Iterator[_Line]:
    """Yield the `check:` lines of a kernel file or of its header; each belongs to the next kernel below it.

    The line of a kernel that cannot be launched is left out with it.
    """
    known, passed_over, *_ = kernels_in(path)
    kernels = [(signature.line, name) for name, signature in known.items() if signature.file == file]
    kernels = sorted(kernels + [(each.line, each.name) for each in passed_over if each.file == file])
    for number, text in enumerate(read_source(file).splitlines(), start=1):
        place, match = f"{file.name}:{number}", _COMMENT.match(text)
        if match is None:
            if _WITHOUT_COLON.match(text):
                raise KernelError(f"{place}: expected `// check: <<<…>>>`, with a colon, not {text.strip()!r}")
            continue
        below = [name for line, name in kernels if line > number]
        if not below:
            raise KernelError(f"{place}: no `__global__` kernel stands below this `check:` line")
        if below[0] in known:
            yield _Line(place, below[0], match["text"])


def _lines_of_case_file(path: Path) -> Iterator[_Line]:
    """Yield the lines of `cases/<stem>.txt` beside a kernel file, if there is one."""
    file, kernels = path.parent / "cases" / f"{path.stem}.txt", signatures(path)
    if not file.is_file():
        return
    for number, text in enumerate(read_source(file).splitlines(), start=1):
        if not text.strip() or text.startswith("#"):
            continue
        place, match = f"cases/{file.name}:{number}", _CASE_FILE_LINE.match(text)
        if match is None:
            raise KernelError(f"{place}: expected `kernel: <<<grid, block>>> values`, not {text!r}")
        if match["kernel"] not in kernels:
            raise KernelError(f"{place}: {path.name} has no kernel {match['kernel']!r}; it has {', '.join(kernels)}")
        yield _Line(place, match["kernel"], match["text"])


def _case(path: Path, line: _Line, real: np.dtype[Any]) -> Case:
    """Evaluate a line. Raises ValueError."""
    match = _CASE.fullmatch(line.text)
    if match is None:
        raise ValueError(f"expected `<<<grid, block>>> values`, not {line.text.strip()!r}")
    values = _values(match["values"])
    grid, block, dynamic_shared = parse_sizes(match["sizes"], {"real": real.itemsize, **values.scalars})
    kernel = _kernel(path, match["name"] or line.kernel, values.scalars)
    try:
        args, uninitialised = _arguments(kernel, values, real)
        check_launch(kernel, grid, block, args, kernel.dtypes(real.char))
    except BuildError as error:
        raise BuildError(f"{error}{macros_note(kernel)}") from error
    except ValueError as error:
        raise ValueError(f"{error}{macros_note(kernel)}") from error
    except MiniskError as error:
        raise KernelError(f"{line.place}: {error}") from error
    return Case(kernel, grid, block, tuple(args), dynamic_shared, frozenset(uninitialised))


def _kernel(path: Path, name: str, scalars: Mapping[str, Number]) -> Kernel:
    """Return the kernel of a case; the scalars that are none of its arguments are macros. Raises ValueError."""
    known = {re.sub(r"\s", "", each): each for each in signatures(path)}
    name = known.get(re.sub(r"\s", "", name), name)
    try:
        names = {parameter.name for parameter in signature(path, name).parameters}
    except KernelError as error:
        raise ValueError(error) from error
    macros: dict[str, Any] = {name: value for name, value in scalars.items() if name not in names}
    return Kernel(path, name, **macros)


def macros_note(kernel: Kernel) -> str:
    """Return which constants of a kernel are perhaps misspelt arguments: no preprocessor line of its file has them."""
    asked = set(re.findall(r"\w+", " ".join(re.findall(r"^[ \t]*#.*", read_source(kernel.path), re.MULTILINE))))
    unknown = [name for name in kernel.constants if name not in asked]
    if not unknown:
        return ""
    names = ", ".join(parameter.name for parameter in kernel.signature.parameters) or "none"
    return f"; {kernel.name} has no argument {', '.join(unknown)} (but {names}): taken as a macro"


def _arguments(kernel: Kernel, values: _Values, real: np.dtype[Any]) -> tuple[list[Any], set[str]]:
    """Return the arguments of a case, and the names of the arrays that are not initialised. Raises ValueError."""
    parameters, random = kernel.signature.parameters, np.random.default_rng(0)
    dtypes = kernel.dtypes(real.char)
    _check_names(parameters, dtypes, values)
    check_memory(_lengths(parameters, dtypes, values))
    args: list[Any] = []
    uninitialised = set()
    for parameter, dtype in zip(parameters, dtypes, strict=True):
        name = parameter.name
        if not parameter.is_array:
            args.append(values.scalars[name] if name in values.scalars else values.lists[name])
        elif name not in values.arrays:
            args.append(None)
        else:
            length, elements = values.arrays[name]
            if elements is None and not parameter.is_const:
                uninitialised.add(name)
            args.append(_array(parameter, dtype, length, elements, values.scalars, random))
    return args, uninitialised


def _check_names(parameters: Sequence[Parameter], dtypes: Sequence[np.dtype[Any]], values: _Values) -> None:
    """Raise ValueError if an argument has no value, or an array no length; or if there is no such array."""
    for parameter, dtype in zip(parameters, dtypes, strict=True):
        name = parameter.name
        if parameter.is_array and name not in values.arrays and values.scalars.get(name) != 0:
            raise ValueError(f"the array {name} has no length; expected {name}[5], for example")
        if not parameter.is_array and name not in values.scalars and name not in values.lists:
            example = "5" if dtype.subdtype is None and dtype.names is None else "5,5"
            raise ValueError(f"the argument {name} has no value; expected {name}={example}, for example")
    for name in values.arrays.keys() - {parameter.name for parameter in parameters}:
        raise ValueError(f"the kernel has no array {name}")


def _lengths(
    parameters: Sequence[Parameter], dtypes: Sequence[np.dtype[Any]], values: _Values
) -> dict[str, tuple[Number, int]]:
    """Return the length of each array, and the bytes of an element."""
    return {
        parameter.name: (parse_number(values.arrays[parameter.name][0], values.scalars), dtype.itemsize)
        for parameter, dtype in zip(parameters, dtypes, strict=True)
        if parameter.name in values.arrays
    }


def _values(text: str) -> _Values:
    """Read scalars and arrays; a scalar's value may use the names of those before it."""
    values = _Values({}, {}, {})
    for word in text.split():
        match = _VALUE.fullmatch(word)
        if word.endswith(",") or word.startswith(","):
            raise ValueError(f"expected spaces between the values, without commas, not {word!r}")
        if word.endswith("=") or word.startswith("="):
            raise ValueError("expected name=value without spaces around the =")
        if match is None:
            raise ValueError(f"expected name=value or name[length], without spaces inside, not {word!r}")
        name, length, value = match["name"], match["length"], match["value"]
        if length is not None:
            values.arrays[name] = length, value
        elif value is not None and "," in value:
            values.lists[name] = parse_numbers(value, values.scalars)
        elif value is not None:
            values.scalars[name] = parse_number(value, values.scalars)
        elif f"{name} = " in text:
            raise ValueError(f"expected {name}=value without spaces around the =")
        else:
            raise ValueError(f"{name} has neither a value ({name}=5) nor a length ({name}[5])")
    return values


def _array(
    parameter: Parameter,
    dtype: np.dtype[Any],
    length: str,
    elements: str | None,
    names: Mapping[str, Number],
    random: np.random.Generator,
) -> np.ndarray[Any, Any]:
    """Return an array of a case: of a length in elements of the dtype, filled as `elements` says.

    A vector such as float4 is four numbers. What `void*` points at is filled with zeros.
    """
    size = parse_number(length, names)
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"the array {parameter.name} has the length {size}")
    if dtype.names is not None:
        return _records(parameter, dtype, size, elements, names, random)
    if dtype.base.kind == "V":
        return np.zeros(size, np.dtype((np.uint8, dtype.itemsize)))
    numbers = _numbers(parameter, size * math.prod(dtype.shape), elements, names, random)
    return numbers.astype(dtype.base)


def _records(
    parameter: Parameter,
    dtype: np.dtype[Any],
    size: int,
    elements: str | None,
    names: Mapping[str, Number],
    random: np.random.Generator,
) -> np.ndarray[Any, Any]:
    """Return an array of structs, filled as `elements` says.

    Integers are 0 unless `elements` is given: they may be indices. Pointers, and other numbers of type uint64, are 0
    unless every number is given.
    """
    places = list(numbers_of(dtype))
    is_listed = elements is not None and "," in elements
    numbers = _numbers(parameter, size * len(places), elements, names, random).reshape(size, len(places))
    memory = np.zeros((size, dtype.itemsize), np.uint8)
    for (offset, number_type), column in zip(places, numbers.T, strict=True):
        is_filled = number_type.kind == "f" or is_listed or (elements is not None and number_type != np.uint64)
        if is_filled:
            column = np.ascontiguousarray(column.astype(number_type)).view(np.uint8).reshape(size, -1)
            memory[:, offset : offset + number_type.itemsize] = column
    return memory.reshape(-1).view(dtype)


def _numbers(
    parameter: Parameter, size: int, elements: str | None, names: Mapping[str, Number], random: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Return the numbers of an array, before they are converted to its dtype."""
    # Drawn even where it is not used, so that filling one array differently leaves the others as they are.
    normal = random.standard_normal(size)
    if elements == "random" or (elements is None and parameter.is_const):
        return normal
    if elements is None:
        return np.zeros(size)
    below = _BELOW.fullmatch(elements)
    if below is not None:
        return random.integers(0, int(parse_number(below["bound"], names)), size)
    values = parse_numbers(elements, names)
    if len(values) not in (1, size):
        raise ValueError(f"the array {parameter.name} has the length {size}, but {len(values)} values")
    return np.full(size, values)
