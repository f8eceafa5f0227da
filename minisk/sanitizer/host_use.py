"""Find functions and variables of the host that device code uses: nvcc refuses them, a C++ compiler does not.

A scan of the text at file scope, not a parser: what a macro may hide is passed over.
"""

import re
from pathlib import Path

from ..runtime.declarations import without_comments, without_directives
from ..runtime.findings import Finding
from ..runtime.host_code import end_of_declaration
from ..runtime.signature import read_source

_FUNCTION = re.compile(
    r"^(?P<before>[A-Za-z_][\w:<>,&* \t]*[\s*&])(?P<name>[a-z_]\w*)\s*\([^;{}]*?\)\s*\{", re.MULTILINE
)
_VARIABLE = re.compile(
    r"^(?:static\s+)?(?:unsigned\s+)?(?:float|double|int|bool|char|short|long|size_t)\s+(?P<name>\w+)\s*[=;\[]",
    re.MULTILINE,
)
_MAY_BE_OF_THE_DEVICE = re.compile(r"__device__|__global__|\bconstexpr\b|\btemplate\b|\b[A-Z][A-Z0-9_]{2,}\b")


def host_code_in_device_code(path: Path) -> list[Finding]:
    """Return a finding for each function without __device__ that a kernel calls, and for each such variable it uses."""
    code = without_directives(without_comments(read_source(path)))
    device = "".join(_bodies(code))
    found = [(name, "function", rf"(?<![\w.>:]){name}\s*\(", at) for name, at in _host_functions(code)]
    for variable in _VARIABLE.finditer(code):
        found.append((variable["name"], "variable", rf"(?<![\w.>]){variable['name']}\b", variable.start("name")))
    findings = []
    for name, kind, use, position in found:
        is_declared_again = re.search(
            rf"\b(?:float|double|int|unsigned|auto|bool|long|char)\s*[*&]?\s*{name}\b", device
        )
        if re.search(use, device) and not is_declared_again:
            place = f"{path.name}:{code.count(chr(10), 0, position) + 1}"
            sentence = f"{place}: device code uses the {kind} {name}, which has no __device__: nvcc refuses it"
            findings.append(Finding("host code", sentence, 1, place))
    return findings


def _bodies(code: str) -> list[str]:
    """Return the bodies of the functions that are marked __global__ or __device__, with their parameters."""
    bodies = []
    for mark in re.finditer(r"\b__(?:global|device)__\b", code):
        opening = re.compile("[{;=]").search(code, mark.end())
        if opening is not None and opening[0] == "{":
            bodies.append(code[mark.end() : end_of_declaration(code, mark.end())])
    return bodies


def _host_functions(code: str) -> list[tuple[str, int]]:
    """Return name and position of each function at file scope that has neither a mark nor a macro before its name."""
    found = []
    for function in _FUNCTION.finditer(code):
        start = max(code.rfind(end, 0, function.start()) for end in ";}") + 1
        if not _MAY_BE_OF_THE_DEVICE.search(code[start : function.start("name")]):
            found.append((function["name"], function.start("name")))
    return found
