"""Find the imports between the packages of minisk: for the test that they go downwards, and for the picture of them."""

from __future__ import annotations

import ast
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

# From top to bottom: a package may import those after it. Its name, its group, and what it holds.
# `minisk` itself (`__init__`, `__main__`) is above them all.
PACKAGES = (
    ("cli", "use", "the commands, one file each"),
    ("training", "use", "settings, loop, checkpoints, run folder"),
    ("evaluation", "use", "metrics, the classifier of images, reports"),
    ("gradient_check", "use", "derivatives against differences"),
    ("export", "use", "networks as ONNX files"),
    ("analysis", "use", "summary, profiler, graph picture, figures"),
    ("distributed", "networks", "several processes: MPI, NCCL"),
    ("models", "networks", "SKNet, ResNeXt, trained weights"),
    ("optim", "networks", "optimizers, schedules, clipping"),
    ("nn", "networks", "Module and the layers"),
    ("creation", "operations", "ms.zeros, ms.randn, … (one file)"),
    ("saving", "operations", "ms.save, ms.load (one file)"),
    ("ops", "operations", "every operation, one file a family"),
    ("autograd", "operations", "Tensor, Function, graph, engine"),
    ("kernels", "kernels", "dispatch; reference/: NumPy formulas"),
    ("cuda", "kernels", "CUDA kernels and their launchers"),
    ("sanitizer", "kernels", "races, bounds, barriers of a kernel"),
    ("runtime", "kernels", "compile and launch: GPU, CPU, checked"),
    ("data", "base", "data sets, transforms, the loader"),
    ("interchange", "base", "weights of others: files and names"),
    ("serialization", "base", "safetensors, atomic writes"),
    ("notebook", "base", "HTML of arrays and modules (one file)"),
    ("backend", "base", "NumPy or CuPy, random numbers, threads"),
    ("errors", "base", "every error by name"),
    ("interrupts", "base", "Ctrl-C at a command's start (one file)"),
)


class Import(NamedTuple):
    """One imported name: where it stands, and the module that holds the name."""

    module: str
    target: str
    place: str
    is_late: bool  # inside a function or under TYPE_CHECKING: not run when the file is imported


def modules_of(root: Path) -> dict[str, Path]:
    """Map the dotted name of every module under root/minisk to its file."""
    names = {}
    for path in sorted((root / "minisk").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def resolve(module: str, is_package: bool, name: str, level: int) -> str:
    """Return the absolute name of a module that `module` imports by a name after `level` dots."""
    if level == 0:
        return name
    parents = module.split(".")
    keep = len(parents) - level + is_package
    return ".".join([*parents[:keep], *([name] if name else [])])


def imports_of(root: Path) -> list[Import]:
    """List the imports of minisk in minisk: also those inside functions, under TYPE_CHECKING and by import_module."""
    modules = modules_of(root)
    imports = []
    for module, path in modules.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        tree = ast.parse("\n".join(lines))
        late = late_nodes(tree)
        for node in [found for found in ast.walk(tree) if isinstance(found, (ast.stmt, ast.expr))]:
            for target in dict.fromkeys(targets_of(node, module, path.name == "__init__.py", modules)):
                if target.split(".")[0] == "minisk":
                    place = f"{path.relative_to(root)}:{node.lineno}: {lines[node.lineno - 1].strip()}"
                    imports.append(Import(module, target, place, node in late))
    return imports


def late_nodes(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes inside functions and inside `if TYPE_CHECKING:`, which do not run when the file is imported."""
    late: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_check = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if is_check or isinstance(node, ast.FunctionDef):
            late.update(ast.walk(node))
    return late


def targets_of(node: ast.AST, module: str, is_package: bool, modules: Container[str]) -> list[str]:
    """Return the absolute names of the modules that a statement or a call imports."""
    if isinstance(node, ast.ImportFrom):
        base = resolve(module, is_package, node.module or "", node.level)
        names = [f"{base}.{alias.name}" for alias in node.names]
        # `from . import x` names a module, or something that the package itself defines.
        return [name if name in modules or base == "minisk" else base for name in names]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        name = getattr(node.args[0], "value", None)
        if not isinstance(name, str):
            return []  # a module that the user names, as in `minisk gradcheck my_module:layer`
        level = len(name) - len(name.lstrip("."))
        return [resolve(module, is_package, name[level:], level)]
    return []


def package_of(module: str) -> str:
    """Return the package of a module; "" for minisk itself and for the names it defines."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in {name for name, _, _ in PACKAGES} else ""
