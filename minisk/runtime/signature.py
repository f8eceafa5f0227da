"""Kernels as declared in their `.cu`: where the file is, and which arguments each kernel takes.

The C++ signature is the only declaration of a kernel. A launch types every scalar and checks every array by it. Names,
lines and types as written are read here. What a type is, if its name alone does not say so, the built library describes
(include/describe.h, description.py).
"""

import ast
import functools
import operator
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from .declarations import Declaration, DeclaredParameter, declarations, without_comments, without_directives
from .preprocess import PACKAGE, Source, as_written, condition_at, needs_preprocessor, preprocessed
from .structs import Struct, structs

_MOST_THREADS = 1024  # CUDA's limit for a block

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "half_t": "float16",
    "half": "float16",
    "__half": "float16",
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long": "int64",
    "unsigned long": "uint64",
    "long long": "int64",
    "unsigned long long": "uint64",
    "size_t": "uint64",
    **{f"{name}_t": name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}
# By NumPy's letter for the stored dtype, the C++ types that `real` (stored) and `wide` (computed in) stand for.
REAL = {"e": "half_t", "f": "float", "d": "double"}
WIDE = {"e": "float", "f": "float", "d": "double"}


class Parameter(NamedTuple):
    """One parameter of a kernel: its name, its C++ type without const and *, whether it is an array, and const."""

    name: str
    type: str
    is_array: bool
    is_const: bool

    def dtype(self, types: Mapping[str, str]) -> np.dtype[Any] | None:
        """Return its NumPy dtype, or None if the name of its type does not say it: the library does, once it is built.

        Args:
            types: what `real`, `wide` and `index_t` stand for, from `type_names`.
        """
        name = _DTYPES.get(types.get(self.type, self.type))
        return None if name is None else np.dtype(name)


class Signature(NamedTuple):
    """A kernel's declaration.

    any_block: marked ANY_BLOCK, so it is right for every block size; most_threads: the largest block it declares;
    line: the line of the file on which it begins, from 1; file: the .cu, or a header that it includes; template: the
    parameters of a template, such as "typename T, int N", or None; is_c: extern "C", so its name is not mangled;
    has_bounds: the largest block is declared, by __launch_bounds__.
    """

    parameters: tuple[Parameter, ...]
    any_block: bool
    most_threads: int
    line: int
    file: Path
    template: str | None = None
    is_c: bool = True
    has_bounds: bool = False


class PassedOver(NamedTuple):
    """A kernel that cannot be launched by its name. file, line: where it stands; reason: one without a full stop."""

    name: str
    file: Path
    line: int
    reason: str


class FileKernels(NamedTuple):
    """What a kernel file declares.

    kernels: by name, in the order of the file. A template is among them: a launch names an instantiation, "k<float>".
    passed_over: kernels that are not among them, and templates that the file does not instantiate.
    variables: the names of its `__constant__` and `__device__` variables.
    structs: the structs that it and its headers define; places: the file and the line of each.
    """

    kernels: dict[str, Signature]
    passed_over: list[PassedOver]
    variables: list[str]
    structs: list[Struct]
    places: list[tuple[Path, int]]

    def structs_of(self, type_: str) -> list[int]:
        """Return the numbers of the structs that a type as written names, such as "const ns::Size<int>"."""
        words = set(re.findall(r"\w+", type_))
        return [number for number, struct in enumerate(self.structs) if words & set(struct.words)]


def type_names(real: str, is_huge: bool = False) -> dict[str, str]:
    """Return the C++ types that `real`, `wide` and `index_t` stand for.

    real: NumPy's letter for the stored dtype, "e", "f" or "d"; is_huge: some array has 2^31 elements or more.
    """
    return {"real": REAL[real], "wide": WIDE[real], "index_t": "long long" if is_huge else "int"}


def locate(file: str | Path) -> Path:
    """Return the path of a kernel file: minisk's own by its bare name, any other by its path."""
    path = Path(file)
    own = PACKAGE / path
    path = own if path.name == str(file) and own.is_file() else path.resolve()
    if path.is_dir():
        raise KernelError(f"{str(file)!r} is a folder; expected files in it: {file}/*.cu")
    if not path.is_file():
        raise KernelError(f"kernel file {str(file)!r} is neither in {PACKAGE} nor a path that exists")
    if re.search(r'["\\\n\r]', str(path)):
        raise KernelError(f"kernel file {str(path)!r}: C++ cannot include a path with a quote, \\ or a line end")
    return path


def read_source(path: Path) -> str:
    """Return the text of a kernel file; what is not UTF-8, as in an old comment, becomes U+FFFD."""
    return path.read_text(encoding="utf-8", errors="replace")


def signatures(path: Path) -> dict[str, Signature]:
    """Return the signature of every kernel of a file that can be launched, templates included."""
    return kernels_in(path).kernels


def signature(path: Path, name: str) -> Signature:
    """Return the signature of a kernel, or of a template's instantiation such as "k<float, 128>".

    Raises:
        KernelError: the file has no such kernel, or the name of a template has no arguments.
    """
    found = kernels_in(path)
    base = re.sub(r"\s*<.*", "", name, flags=re.DOTALL)
    known = found.kernels.get(name) or found.kernels.get(base)
    if known is None or (base != name and name not in found.kernels and known.template is None):
        reasons = [f"{each.name} (line {each.line}): {each.reason}" for each in found.passed_over if each.name == base]
        reason = reasons[0] if reasons else f"it has {', '.join(found.kernels) or 'none'}"
        raise KernelError(f"{path.name} has no kernel {name!r}; {reason}")
    if known.template is not None and name == base:
        raise KernelError(f"{path.name}: {name} is a template; {_how_to_instantiate(name, known.template)}")
    return known


def kernels_in(path: Path) -> FileKernels:
    """Return the kernels of a file, and those that are passed over, with the reason."""
    return _kernels_in(path, read_source(path))


@functools.lru_cache(maxsize=256)
def _kernels_in(path: Path, text: str) -> FileKernels:
    code = without_comments(text)
    written = as_written(path, without_directives(code))
    source = preprocessed(path) if needs_preprocessor(code) else None
    found = declarations((source or written).text)
    constants = _constants(code)
    kernels: dict[str, Signature] = {}
    passed_over: list[PassedOver] = []
    for kernel in found.kernels:
        signature = _signature(kernel, source or written, constants)
        reason = _why_passed_over(kernel, found.kernels)
        if reason is None:
            kernels[kernel.name] = signature
        else:
            passed_over.append(PassedOver(kernel.name, signature.file, signature.line, reason))
    instances = instantiations(kernels)
    kernels |= {name: _with_names(kernels[name], kernels[base]) for name, base in instances.items()}
    for name, known in kernels.items():
        if known.template is not None and name not in instances.values():
            reason = f"it is a template; {_how_to_instantiate(name, known.template)}"
            passed_over.append(PassedOver(name, known.file, known.line, reason))
    if source is not None:
        passed_over += _switched_off(code, written, {kernel.name for kernel in found.kernels})
    defined = structs((source or written).text)
    if source is None:
        defined = [_with_condition(struct, code) for struct in defined]
    places = [(source or written).place(struct.position) for struct in defined]
    passed_over.sort(key=operator.attrgetter("line"))
    return FileKernels(kernels, passed_over, found.variables, defined, places)


def _with_condition(struct: Struct, code: str) -> Struct:
    """Return a struct of a text that the preprocessor has not seen; under `#if`, its fields are not known."""
    condition = condition_at(code, struct.position)
    return struct if condition is None else struct._replace(problem=f"`{condition.directive}` decides on it")


def instantiations(kernels: Mapping[str, Signature]) -> dict[str, str]:
    """Return the explicit instantiations among the kernels of a file, each with the name of its template."""
    return {name: base for name in kernels if "<" in name and (base := name.partition("<")[0]) in kernels}


def _with_names(instance: Signature, template: Signature) -> Signature:
    """Return an instantiation with the names of the template's parameters where it gives none of its own."""
    if len(instance.parameters) != len(template.parameters):
        return instance
    named = (
        own._replace(name=known.name) if re.fullmatch(r"argument\d+", own.name) else own
        for own, known in zip(instance.parameters, template.parameters, strict=True)
    )
    return instance._replace(parameters=tuple(named))


def _switched_off(code: str, written: Source, seen: set[str]) -> list[PassedOver]:
    """Return the kernels of the text that the preprocessor removes."""
    found = []
    for kernel in declarations(written.text).kernels:
        condition = condition_at(code, kernel.position)
        if kernel.name not in seen and condition is not None:
            reason = f"`{condition.directive}` on line {condition.line} leaves it out"
            found.append(PassedOver(kernel.name, *written.place(kernel.position), reason))
    return found


def _why_passed_over(kernel: Declaration, kernels: Sequence[Declaration]) -> str | None:
    """Return why a kernel cannot be launched by its name, or None if it can."""
    if [other.name for other in kernels].count(kernel.name) > 1:
        return "the file has two kernels of this name"
    for parameter in kernel.parameters:
        if "&" in parameter.type or "..." in parameter.type:
            what = "a reference" if "&" in parameter.type else "a list of any length"
            return f"its parameter {parameter.name} is {what}, which Python cannot pass"
    return None


def _how_to_instantiate(name: str, template: str) -> str:
    return f"a launch names an instantiation, such as {name}<{example_arguments(template)}>"


def example_arguments(template: str) -> str:
    """Return arguments for the parameters of a template, such as "typename T, int N = 32": its defaults."""
    parts = re.findall(r"(?:[^,<(]|<[^>]*>|\([^)]*\))+", template)
    return ", ".join(map(_example_argument, parts))


def _example_argument(parameter: str) -> str:
    kind, _, default = parameter.partition("=")
    first = kind.split()[0] if kind.split() else ""
    known = {"typename": "float", "class": "float", "bool": "true"}
    return default.strip() or known.get(first, "128")


def _signature(kernel: Declaration, source: Source, constants: Mapping[str, str]) -> Signature:
    file, line = source.place(kernel.position)
    most_threads = _most_threads(kernel.bounds, constants)
    has_bounds = kernel.bounds is not None and most_threads < _MOST_THREADS
    parameters = tuple(map(_parameter, kernel.parameters))
    return Signature(parameters, kernel.any_block, most_threads, line, file, kernel.template, kernel.is_c, has_bounds)


def _parameter(written: DeclaredParameter) -> Parameter:
    name = f"{written.type}{'*' * (written.pointers - 1)}"  # of the elements, if it is an array
    return Parameter(written.name, name, written.pointers > 0, written.is_const and written.pointers < 2)


def _constants(code: str) -> dict[str, str]:
    """Return the numbers that macros and constexpr variables of a text stand for, as written."""
    macros = re.findall(r"#\s*define\s+(\w+)\s+([^\n]+)", code)
    return dict(macros + re.findall(r"\bconst(?:expr)?\s+(?:\w+\s+)+(\w+)\s*=\s*([^;,{}]+);", code))


_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv}


def _most_threads(bounds: str | None, constants: Mapping[str, str]) -> int:
    """Return the first number of __launch_bounds__; CUDA's limit if there is none, or it depends on a template."""
    try:
        node = ast.parse(f"({bounds},)" if bounds else "(1024,)", mode="eval").body
        assert isinstance(node, ast.Tuple)
        return min(_MOST_THREADS, _value(node.elts[0], constants, 0))
    except (SyntaxError, ValueError, ZeroDivisionError):
        return _MOST_THREADS


def _value(node: ast.expr, constants: Mapping[str, str], depth: int) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name) and node.id in constants and depth < 10:
        return _value(ast.parse(constants[node.id].strip(), mode="eval").body, constants, depth + 1)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = (_value(side, constants, depth) for side in (node.left, node.right))
        return _OPERATORS[type(node.op)](left, right)
    raise ValueError("not a number")
