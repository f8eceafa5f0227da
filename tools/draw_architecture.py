"""Draw the pictures of the documents as SVG: `python tools/draw_architecture.py` writes them to docs/pictures.

    packages.svg           the packages, top to bottom, and which of them each one imports, read from the source
    backward.svg           the way from `loss.backward()` to a kernel
    selective-kernel.svg   a selective-kernel convolution with two branches

No library is needed. `pictures()` returns the texts, so that a test can compare them with the files.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minisk"
FOLDER = ROOT / "docs" / "pictures"

INK, GREY, LINE, PALE, BLUE, ORANGE = "#1f2328", "#59636e", "#8c959f", "#f6f8fa", "#ddeafb", "#fdeccf"
MARK = "#2f6fb5"
FONT = "font-family='Helvetica, Arial, sans-serif'"

# Each package, from the top: its name, its group, and what it holds.
PACKAGES = (
    ("cli", "use", "the commands, one file each"),
    ("training", "use", "settings, loop, checkpoints, run folder"),
    ("evaluation", "use", "metrics, the classifier of images, reports"),
    ("analysis", "use", "summary, profiler, graph picture, figures"),
    ("gradient_check", "use", "derivatives against differences"),
    ("models", "networks", "SKNet, ResNeXt, trained weights"),
    ("optim", "networks", "optimizers, schedules, clipping"),
    ("nn", "networks", "Module and the layers"),
    ("ops", "operations", "every operation, one file a family"),
    ("creation", "operations", "ms.zeros, ms.randn, … (one file)"),
    ("saving", "operations", "ms.save, ms.load (one file)"),
    ("autograd", "operations", "Tensor, Function, graph, engine"),
    ("kernels", "kernels", "dispatch; reference/: NumPy formulas"),
    ("cuda", "kernels", "CUDA kernels and their launchers"),
    ("sanitizer", "kernels", "races, bounds, barriers of a kernel"),
    ("runtime", "kernels", "compile and launch: GPU, CPU, checked"),
    ("data", "base", "data sets, transforms, the loader"),
    ("serialization", "base", "safetensors, atomic writes"),
    ("backend", "base", "NumPy or CuPy, random numbers, threads"),
    ("errors", "base", "every error by name"),
)


def text(
    x: float, y: float, content: str, *, size: int = 13, anchor: str = "start", fill: str = INK, extra: str = ""
) -> str:
    """Return an SVG text whose baseline begins (or is centred, or ends) at (x, y)."""
    style = f"{FONT} font-size='{size}' text-anchor='{anchor}' fill='{fill}' {extra}".rstrip()
    return f"<text x='{x:g}' y='{y:g}' {style}>{escape(content)}</text>"


def box(x: float, y: float, width: float, height: float, lines: tuple[str, ...], fill: str = PALE) -> str:
    """Return a rectangle with centred lines of text; the first line is bold, the others are smaller."""
    parts = [f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='6' fill='{fill}' stroke='{LINE}'/>"]
    top = y + height / 2 - 8.5 * (len(lines) - 1) + 4.5
    for i, line in enumerate(lines):
        first = i == 0
        weight = "font-weight='bold'" if first else ""
        colour = INK if first else GREY
        parts.append(
            text(
                x + width / 2, top + 17 * i, line, size=13 if first else 12, anchor="middle", fill=colour, extra=weight
            )
        )
    return "\n".join(parts)


def square(x: float, y: float, is_filled: bool) -> str:
    """Return one mark of the import matrix."""
    fill = MARK if is_filled else "white"
    return f"<rect x='{x:g}' y='{y:g}' width='14' height='14' fill='{fill}' stroke='{MARK}' stroke-width='1.5'/>"


def arrow(*points: tuple[float, float]) -> str:
    """Return a line through the points with an arrowhead at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{INK}' stroke-width='1.3' marker-end='url(#head)'/>"


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """Return a whole SVG document on a white background."""
    head = "<marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    opening = f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>"
    lines = [
        opening,
        f"<title>{escape(title)}</title>",
        f"<defs>{head}<path d='M0,0 L8,4 L0,8 z' fill='{INK}'/></marker></defs>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def imported_packages(package: str) -> dict[str, bool]:
    """Return the packages of minisk that one of them imports: name → whether any import runs at import time.

    The others stand inside a function or under TYPE_CHECKING.
    """
    found: dict[str, bool] = {}
    folder = PACKAGE / package
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        late = _late_nodes(tree)
        for node in ast.walk(tree):
            for name in _targets(node, path):
                if name != package and name in {row[0] for row in PACKAGES}:
                    found[name] = found.get(name, False) or node not in late
    return found


def _late_nodes(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes inside functions and inside `if TYPE_CHECKING:`, which do not run when the file is imported."""
    late: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_check = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if is_check or isinstance(node, ast.FunctionDef):
            late.update(ast.walk(node))
    return late


def _targets(node: ast.AST, path: Path) -> list[str]:
    """Return the first part below minisk of each module that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("minisk.")]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = ["minisk", *path.relative_to(PACKAGE).parts[:-1]]
    start = base[: len(base) - node.level + 1] if node.level else []
    full = [*start, *(node.module or "").split(".")] if node.module else start
    if full[:1] != ["minisk"]:
        return []
    return [full[1]] if len(full) > 1 else [alias.name for alias in node.names]


def draw_packages() -> str:
    """Draw the packages as rows and columns of a matrix, with a square where the row imports the column."""
    row, cell, left, top = 26, 26, 440, 118
    packages = [line for line in PACKAGES if (PACKAGE / line[0]).is_dir() or (PACKAGE / f"{line[0]}.py").exists()]
    names = [name for name, _, _ in packages]
    count = len(names)
    width, bottom = left + cell * count + 30, top + row * count
    parts = [
        text(
            20,
            28,
            "Imports between packages: a package imports only packages below it",
            size=16,
            extra="font-weight='bold'",
        )
    ]
    parts += [square(20, 39, True), text(42, 51, "the package of the row imports the package of the column", fill=GREY)]
    parts += [square(20, 61, False), text(42, 73, "the same, but only inside a function or for types", fill=GREY)]
    for i, (name, group, meaning) in enumerate(packages):
        y = top + row * i
        is_start = i == 0 or packages[i - 1][1] != group
        if is_start:
            parts.append(f"<line x1='20' y1='{y}' x2='{width - 30}' y2='{y}' stroke='{LINE}'/>")
            parts.append(text(20, y + 18, group, fill=GREY, size=12))
        parts.append(text(98, y + 18, name, extra="font-weight='bold'"))
        parts.append(text(204, y + 18, meaning, size=12, fill=GREY))
        x = left + cell * i
        parts.append(f"<rect x='{x}' y='{y}' width='{cell}' height='{row}' fill='{LINE}' fill-opacity='0.35'/>")
        parts.append(text(x + 17, top - 8, name, size=12, extra=f"transform='rotate(-45 {x + 17} {top - 8})'"))
        for target, is_direct in sorted(imported_packages(name).items()):
            x = left + cell * names.index(target)
            parts.append(square(x + 6, y + 6, is_direct))
    parts.append(f"<line x1='20' y1='{bottom}' x2='{width - 30}' y2='{bottom}' stroke='{LINE}'/>")
    return svg(width + 40, bottom + 20, "The packages of minisk and their imports", parts)


def draw_backward() -> str:
    """Draw what happens between `loss.backward()` and a running kernel, top to bottom."""
    left, wide, step = 160, 460, 74
    steps = (
        ("autograd", "loss.backward()", "engine.py: sort the nodes behind the loss, the youngest first", BLUE),
        (
            "autograd",
            "Node.run_backward(gradients)",
            "graph.py: call the operation's backward, check what it returns",
            BLUE,
        ),
        ("ops", "Conv2d.backward(ctx, dout)", "convolution.py: Tensors in, one gradient for each input out", BLUE),
        ("autograd", "Function.apply", "function.py: run forward on arrays; record a node under create_graph", BLUE),
        ("kernels", "kernels.conv2d_input_grad(…)", "dispatch: device, dtype, size and mode decide", ORANGE),
    )
    parts = []
    for i, (package, call, meaning, fill) in enumerate(steps):
        y = 20 + step * i
        parts += [text(20, y + 30, package, fill=GREY), box(left, y, wide, 50, (call, meaning), fill)]
        if i:
            parts.append(arrow((left + wide / 2, y - 24), (left + wide / 2, y)))
    height = 20 + step * len(steps)
    parts += _below_the_dispatch(left, height)
    return svg(left + wide + 20, height + 260, "From loss.backward() to a kernel", parts)


def _below_the_dispatch(left: int, top: int) -> list[str]:
    """Draw the reference and the launcher side by side, and the three ways to run a kernel below them."""
    reference, launcher = left + 107, left + 352  # the middles of the two boxes
    parts = [text(20, top + 42, "kernels, cuda", fill=GREY)]
    parts.append(box(left, top + 10, 215, 50, ("the reference", "kernels/reference: NumPy or CuPy")))
    parts.append(box(left + 245, top + 10, 215, 50, ("the launcher", "cuda: shapes → grid, block, args")))
    parts += [arrow((x, top - 24), (x, top + 10)) for x in (reference, launcher)]
    parts += [text(20, top + 124, "runtime", fill=GREY), arrow((launcher, top + 60), (launcher, top + 94))]
    launch = ("launch(kernel, grid, block, args)", "types every argument by the signature in the .cu file")
    parts.append(box(left, top + 94, 460, 50, launch))
    targets: tuple[tuple[str, ...], ...] = (
        ("GPU", "RawModule, by CuPy"),
        ("CPU", "a block is one thread"),
        ("CPU, every thread", "fibers; with or without", "the access checker"),
    )
    for i, target in enumerate(targets):
        middle = left + 72 + 158 * i
        parts += [arrow((middle, top + 144), (middle, top + 178)), box(middle - 72, top + 178, 144, 62, target, ORANGE)]
    parts.append(text(20, top + 214, "one source, 3 ways", fill=GREY))
    return parts


def draw_selective_kernel() -> str:
    """Draw SKConv with two branches: split, fuse, select."""
    parts = [
        text(x, 26, name, size=14, anchor="middle", fill=GREY)
        for x, name in ((215, "split"), (472, "fuse"), (762, "select"))
    ]
    for x in (330, 620):
        parts.append(f"<line x1='{x}' y1='16' x2='{x}' y2='262' stroke='{LINE}' stroke-dasharray='4 4'/>")
    parts += [box(20, 110, 80, 60, ("x", "C × H × W"))]
    parts += [box(140, 52, 160, 60, ("3×3 convolution", "batch norm, ReLU"), BLUE)]
    parts += [box(140, 172, 160, 60, ("3×3, dilation 2", "batch norm, ReLU"), ORANGE)]
    parts += [
        arrow((100, 132), (120, 132), (120, 82), (140, 82)),
        arrow((100, 148), (120, 148), (120, 202), (140, 202)),
    ]
    parts += [text(390, 36, "U₁", size=14), text(390, 264, "U₂", size=14)]
    parts += [arrow((300, 92), (362, 92), (362, 122)), arrow((300, 192), (362, 192), (362, 162))]
    parts += [box(342, 122, 40, 40, ("+",)), arrow((382, 142), (402, 142))]
    parts += [box(402, 112, 88, 60, ("mean", "over H, W")), arrow((490, 142), (510, 142))]
    parts += [box(510, 112, 98, 60, ("fc1, fc2", "C → d → 2·C")), arrow((608, 142), (636, 142))]
    parts += [box(636, 112, 104, 60, ("softmax", "over branches,", "in each channel"))]
    parts += [arrow((688, 112), (688, 82), (774, 82)), arrow((688, 172), (688, 202), (774, 202))]
    parts += [text(714, 74, "a₁", size=14), text(714, 222, "a₂", size=14)]
    parts += [box(774, 62, 40, 40, ("×",), BLUE), box(774, 182, 40, 40, ("×",), ORANGE)]
    parts += [arrow((300, 62), (320, 62), (320, 42), (794, 42), (794, 62))]
    parts += [arrow((300, 222), (320, 222), (320, 246), (794, 246), (794, 222))]
    parts += [arrow((814, 82), (846, 82), (846, 122)), arrow((814, 202), (846, 202), (846, 162))]
    parts += [box(826, 122, 40, 40, ("+",)), arrow((866, 142), (896, 142)), box(896, 112, 84, 60, ("V", "C × H × W"))]
    return svg(1000, 276, "A selective-kernel convolution: split, fuse, select", parts)


def pictures() -> dict[str, str]:
    """Return each picture's file name and its SVG text."""
    return {
        "packages.svg": draw_packages(),
        "backward.svg": draw_backward(),
        "selective-kernel.svg": draw_selective_kernel(),
    }


def main() -> None:
    """Write every picture to docs/pictures."""
    for name, content in pictures().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
