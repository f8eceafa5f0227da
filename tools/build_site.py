"""Build the site of the book, the documents and the reference: `python tools/build_site.py [FOLDER]`.

The site's pages are assembled in build/site_source: the chapters with their blocks prepared for reading, docs/ as it
is, and a page of the reference for each public package. MkDocs then builds them, with warnings as errors, into FOLDER
(default: build/site). It needs the extra `docs`. A server shows the site, search included:

    python -m http.server --directory build/site
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from book.chapters import Chapter, chapters  # noqa: E402
from book.reading import excerpt, minutes  # noqa: E402
from book.words import explained  # noqa: E402

SITE = ROOT / "tools" / "site"
SOURCE = ROOT / "build" / "site_source"
# Packages of the reference: name, and what it holds.
REFERENCE = {
    "minisk": "Tensors from data, files and random numbers; `grad`; modes; tools",
    "minisk.ops": "Operations on Tensors",
    "minisk.autograd": "Tensor, Function and the graph",
    "minisk.nn": "Layers",
    "minisk.optim": "Optimizers and schedules",
    "minisk.models": "Networks",
    "minisk.data": "Data sets and batches",
    "minisk.training": "The training loop",
    "minisk.evaluation": "Measuring and using a trained network",
    "minisk.gradient_check": "The gradient checker",
    "minisk.kernels": "Array-level functions, each a kernel or a reference",
    "minisk.cuda": "One's own kernels",
    "minisk.errors": "Errors",
}


def chapter_page(chapter: Chapter) -> str:
    """Return a chapter's Markdown with its blocks prepared: outputs below their code, parts of minisk written out."""
    text = re.sub(r"^```output\n", "``` {.text .prints}\n", chapter.text, flags=re.MULTILINE)
    text = re.sub(r"^```cuda ?(\S*)\n", lambda match: _cuda_fence(match[1]), text, flags=re.MULTILINE)
    text = re.sub(r"^```read\n((?:.*\n)*?)```\n", lambda match: _excerpts(match[1]), text, flags=re.MULTILINE)
    title, rest = text.split("\n", 1)
    command = f"`python -m book start {chapter.number}`"
    return f"{title}\n\n*About {minutes(chapter):.0f} minutes to read and write. The exercise: {command}.*\n{rest}"


def _cuda_fence(name: str) -> str:
    return f'```cuda title="{name}"\n' if name else "```cuda\n"


def _excerpts(names: str) -> str:
    """Return each part of minisk in a box that opens at a click."""
    parts = []
    for line in names.splitlines():
        file, *wanted = line.split()
        for name in wanted:
            found = excerpt(file, name)
            language = "python" if file.endswith(".py") else "cuda"
            code = "\n".join(f"    {each}".rstrip() for each in [f"```{language}", *found.lines, "```"])
            parts.append(f'??? quote "`{name}` in {file}, line {found.line}"\n\n{code}\n')
    return "\n".join(parts)


def book_index() -> str:
    """Return the book's first page: the reader's part of its README, and the table of the chapters."""
    text = (ROOT / "book" / "README.md").read_text(encoding="utf-8").split("\n# For authors")[0]
    rows = [f"| {each.number} | [{each.question}]({each.name}/index.md) | {minutes(each):.0f} |" for each in chapters()]
    words = sorted((word, each) for each in chapters() for word in explained(each))
    listed = [f"[{word}]({each.name}/index.md)" for word, each in words]
    table = ["| | question | minutes |", "|---:|---|---:|", *rows, ""]
    return "\n".join([text, *table, "## Where each word is explained\n", ",\n".join(listed) + ".", ""])


def reference_page(name: str, meaning: str) -> str:
    """Return the page of one package: its docstring as it stands, then its public names, filled in by mkdocstrings."""
    package = importlib.import_module(name)
    listed = [f"::: {name}.{each}" for each in public_names(package)]
    return "\n\n".join([f"# {name}", f"{meaning}.", f"```text\n{inspect.getdoc(package)}\n```", *listed]) + "\n"


def public_names(package: ModuleType) -> list[str]:
    """Return the functions and classes that a package offers; errors stand on the page of minisk.errors only."""
    listed = getattr(package, "__all__", [name for name in vars(package) if not name.startswith("_")])
    found = []
    for name in sorted(set(listed)):
        value = getattr(package, name)
        home = getattr(value, "__module__", "")
        is_error = home == "minisk.errors" and package.__name__ != home
        if callable(value) and home.startswith("minisk") and not is_error:
            found.append(name)
    return found


def assemble() -> None:
    """Write every page of the site into build/site_source."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE / "docs")
    shutil.copy(SITE / "index.md", SOURCE)
    shutil.copy(SITE / "site.css", SOURCE)
    pages = {"book/index.md": book_index(), "reference/index.md": reference_index()}
    pages |= {f"reference/{name}.md": reference_page(name, meaning) for name, meaning in REFERENCE.items()}
    for each in chapters():
        pages[f"book/{each.name}/index.md"] = chapter_page(each)
        shutil.copytree(each.folder / "pictures", SOURCE / "book" / each.name / "pictures")
    for path, content in pages.items():
        (SOURCE / path).parent.mkdir(parents=True, exist_ok=True)
        (SOURCE / path).write_text(content, encoding="utf-8")


def reference_index() -> str:
    """Return the list of the packages in the reference."""
    rows = [f"| [{name}]({name}.md) | {meaning} |" for name, meaning in REFERENCE.items()]
    return "\n".join(["# Reference", "", "| package | content |", "|---|---|", *rows, ""])


def navigation() -> str:
    """Return the site's menu as YAML."""
    lines = ["nav:", "  - Start: index.md", "  - Book:", "      - book/index.md"]
    lines += [f"      - book/{each.name}/index.md" for each in chapters()]
    lines += ["  - Guide:"]
    lines += [f"      - docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"), key=_is_not_the_map)]
    lines += ["  - Reference:", "      - reference/index.md"]
    lines += [f"      - {name}: reference/{name}.md" for name in REFERENCE]
    lines += ["  - Decisions:", "      - docs/decisions/README.md"]
    lines += [f"      - docs/decisions/{path.name}" for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]
    return "\n".join(lines) + "\n"


def _is_not_the_map(path: Path) -> tuple[bool, str]:
    return path.name != "architecture.md", path.name


def main(folder: str = "build/site") -> int:
    """Assemble the pages and build the site. Return MkDocs' exit status."""
    assemble()
    settings = (SITE / "mkdocs.yml").read_text(encoding="utf-8").replace('paths: ["."]', f'paths: ["{ROOT}"]')
    places = f"docs_dir: {SOURCE}\nsite_dir: {Path(folder).resolve()}\n"
    config = ROOT / "build" / "mkdocs.yml"
    config.write_text(settings + places + navigation(), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(config)]
    # The theme prints news about its successor at every build unless this is set.
    return subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
