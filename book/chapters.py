"""The chapters: folders `book/NN_topic`, found by their numbers."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent


@dataclass(frozen=True)
class Chapter:
    """One chapter: its number and its folder."""

    number: int
    folder: Path

    @property
    def name(self) -> str:
        """Return the name of the folder, such as `07_convolution`."""
        return self.folder.name

    @property
    def text(self) -> str:
        """Return the Markdown of the chapter."""
        return (self.folder / "chapter.md").read_text(encoding="utf-8")

    @property
    def question(self) -> str:
        """Return the question of the chapter: its title without the number. Raises ValueError."""
        title = re.match(rf"# {self.number}\. (.+)\n", self.text)
        if title is None:
            raise ValueError(f"{self.name}/chapter.md: the first line must be '# {self.number}. QUESTION'")
        return title[1]

    @property
    def exercises(self) -> list[Path]:
        """Return the files that the reader completes: exercise.py, exercise.cu or both."""
        return sorted(self.folder.glob("exercise.*"))

    def module(self, name: str) -> ModuleType:
        """Return the module of a file of this folder, such as `check`, loaded once."""
        full = f"book.chapter_{self.number:02}.{name}"
        return sys.modules.get(full) or load_module(self.folder / f"{name}.py", full)


def load_module(path: Path, name: str) -> ModuleType:
    """Load a Python file as a module of this name, also if an older module has it."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is loaded
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def chapters() -> list[Chapter]:
    """Return all chapters, in the order of their numbers."""
    folders = [path for path in sorted(BOOK.glob("[0-9][0-9]_*")) if (path / "chapter.md").exists()]
    return [Chapter(int(folder.name[:2]), folder) for folder in folders]


def chapter(number: int) -> Chapter:
    """Return the chapter of this number. Raises ValueError."""
    found = {each.number: each for each in chapters()}
    if number not in found:
        raise ValueError(f"there is no chapter {number}: the book has {', '.join(map(str, found))}")
    return found[number]


def build(number: int) -> ModuleType:
    """Return the build of a chapter as a module: what the reader has at its end."""
    return chapter(number).module("build")
