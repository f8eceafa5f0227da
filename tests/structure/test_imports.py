"""Imports between the packages of minisk go downwards only, and form no cycle."""

from pathlib import Path

import pytest
from package_imports import PACKAGES, Import, imports_of, package_of

ROOT = Path(__file__).resolve().parents[2]

ORDER = [name for name, _, _ in PACKAGES]
# (module, imported module or name): why this import may go upwards.
UPWARD = {
    (
        "minisk.cli",
        "minisk.__version__",
    ): "`minisk --version` prints it; a string, assigned before anything is imported",
    ("minisk.cli.info", "minisk.__version__"): "`minisk info` prints it",
    ("minisk.cli.check", "minisk.__version__"): "the SARIF report of `minisk check` names it",
}
# The engine differentiates Tensors, and Tensors call the engine.
PACKAGES_WITH_CYCLES = {"autograd"}


def upward_imports(imports: list[Import]) -> list[str]:
    """Return the lines that import from a package further up."""
    height = {name: len(ORDER) - position for position, name in enumerate(ORDER)} | {"": len(ORDER) + 1}
    wrong = [
        f"{found.place}  ({package_of(found.module)} → {package_of(found.target) or 'minisk'})"
        for found in imports
        if height[package_of(found.target)] > height[package_of(found.module)]
        and (found.module, found.target) not in UPWARD
    ]
    return list(dict.fromkeys(wrong))


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other: strongly connected components of more than one node."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for node in edges.get(waiting.pop(), set()) - seen:
                seen.add(node)
                waiting.append(node)
        return seen

    reach = {node: reachable(node) for node in edges}
    groups = {frozenset({node} | {other for other in reach[node] if node in reach.get(other, ())}) for node in edges}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def cycles_within_packages(imports: list[Import]) -> list[list[str]]:
    """Return the groups of modules of one package that import each other."""
    edges: dict[str, set[str]] = {}
    for found in imports:
        edges.setdefault(found.module, set())
        if package_of(found.module) == package_of(found.target) not in ("", *PACKAGES_WITH_CYCLES):
            edges[found.module].add(found.target)
    return cycles(edges)


@pytest.fixture(scope="module")
def imports():
    return imports_of(ROOT)


@pytest.mark.core
def test_every_package_has_a_place_in_the_order():
    folders = [path.name for path in (ROOT / "minisk").iterdir() if (path / "__init__.py").exists()]
    files = [path.stem for path in (ROOT / "minisk").glob("*.py") if not path.stem.startswith("__")]
    assert {*folders, *files} - {*ORDER} == set()


@pytest.mark.core
def test_imports_go_downwards_only(imports):
    wrong = upward_imports(imports)
    assert not wrong, "imports that go upwards:\n" + "\n".join(wrong)


@pytest.mark.core
def test_modules_of_a_package_form_no_cycle(imports):
    wrong = cycles_within_packages(imports)
    assert not wrong, "modules that import each other:\n" + "\n".join(" ↔ ".join(group) for group in wrong)


def test_every_exception_is_needed(imports):
    assert UPWARD.keys() - {(found.module, found.target) for found in imports} == set()


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("from .. import ops", "backend"),
        ("from ..ops import add", "backend"),
        ("import minisk.ops", "backend"),
        ("from minisk.ops import add", "backend"),
        ("def late():\n    from ..ops import add", "backend"),
        ("if TYPE_CHECKING:\n    from ..ops.arithmetic import Add", "backend"),
        ("import_module('..ops', __package__)", "backend"),
        ("importlib.import_module('minisk.ops')", "backend"),
        ("from .. import tensor", "cli"),
    ],
)
def test_an_upward_import_is_found_wherever_it_stands(tmp_path, statement, place):
    write_package(tmp_path, {"ops/__init__.py": "", "ops/arithmetic.py": "", f"{place}/here.py": statement})
    (line,) = upward_imports(imports_of(tmp_path))
    assert line.startswith(f"minisk/{place}/here.py:")


def test_a_downward_import_and_a_neighbour_are_allowed(tmp_path):
    write_package(
        tmp_path, {"ops/__init__.py": "from ..backend import a\nfrom .b import c", "ops/b.py": "import numpy"}
    )
    assert upward_imports(imports_of(tmp_path)) == []
    assert cycles_within_packages(imports_of(tmp_path)) == []


def test_a_cycle_within_a_package_is_found(tmp_path):
    write_package(
        tmp_path, {"ops/a.py": "from .b import x", "ops/b.py": "from . import c", "ops/c.py": "from . import a"}
    )
    assert cycles_within_packages(imports_of(tmp_path)) == [["minisk.ops.a", "minisk.ops.b", "minisk.ops.c"]]


def write_package(root, files):
    for name, text in files.items():
        path = root / "minisk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
