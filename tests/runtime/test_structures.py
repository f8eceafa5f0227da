"""The structures that Python passes to a library have the fields that the C++ headers declare."""

from __future__ import annotations

import ctypes
import re

import pytest

from minisk.runtime import structures
from minisk.runtime.build import HEADERS

STRUCTURES = {
    "minisk_launch": structures.MiniskLaunch,
    "minisk_accessor": structures.MiniskAccessor,
    "minisk_finding": structures.MiniskFinding,
    "minisk_site": structures.MiniskSite,
}
TYPES = {
    "unsigned": ctypes.c_uint,
    "int": ctypes.c_int,
    "char": ctypes.c_char,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    **STRUCTURES,
}


def declaration(keyword: str, name: str) -> str:
    """Return what stands between the braces of a struct or enum, without comments."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in HEADERS.glob("*.h"))
    (body,) = re.findall(rf"\b{keyword} {name} \{{(.*?)\}};", text, re.DOTALL)
    return re.sub(r"//[^\n]*", "", body)


def fields(name: str) -> list[tuple[str, object]]:
    """Return name and ctypes type of each field of a C++ structure: `unsigned grid[3], block[3];` declares two."""
    found = []
    for statement in declaration("struct", name).split(";"):
        if not statement.strip():
            continue
        type_, declarators = statement.split(maxsplit=1)
        for field, length in re.findall(r"(\w+)\s*(?:\[(\d+)\])?", declarators):
            found.append((field, TYPES[type_] * int(length) if length else TYPES[type_]))
    return found


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_has_the_fields_of_its_header(name: str) -> None:
    assert list(STRUCTURES[name]._fields_) == fields(name)


def test_every_structure_that_is_exchanged_is_compared() -> None:
    in_headers = set()
    for path in HEADERS.glob("*.h"):
        in_headers |= set(re.findall(r"\bstruct (minisk_\w+) \{", path.read_text(encoding="utf-8")))
    classes = [each for each in vars(structures).values() if isinstance(each, type)]
    in_python = {each for each in classes if issubclass(each, ctypes.Structure)}
    assert in_headers - {"minisk_vector2", "minisk_vector4"} == set(STRUCTURES)
    assert in_python == set(STRUCTURES.values())


@pytest.mark.parametrize(
    ("name", "values"), [("minisk_kind", structures.KINDS), ("minisk_access", structures.ACCESSES)]
)
def test_an_enumeration_has_the_values_of_its_header(name: str, values: tuple[str, ...]) -> None:
    declared = [value.strip() for value in declaration("enum", name).split(",")]
    assert declared == [f"minisk_{value}" for value in values]
