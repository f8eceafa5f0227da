"""A chapter as a Jupyter notebook, made by jupytext: each Python block is a cell, a CUDA block writes its file.

Any other part of the chapter is text, the outputs included, so that a reader can compare what a cell prints.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from .chapters import ROOT, Chapter
from .progress import reader_folder

FIRST_CELL = """```python
import os
import sys
import tempfile

sys.path.insert(0, {root!r})  # the clone of minisk that this notebook comes from
os.environ["MINISK_BOOK"] = {folder!r}  # your folder, for book.mine
os.chdir(tempfile.mkdtemp())
```
"""


def notebook(chapter: Chapter) -> Any:
    """Return the chapter as a notebook object of nbformat. Raises ModuleNotFoundError without jupytext."""
    import jupytext

    text = re.sub(r"^```cuda (\S+)$", r"```python\n%%writefile \1", chapter.text, flags=re.MULTILINE)
    text = re.sub(r"\]\((pictures/[^)]+\.svg)\)", lambda match: f"]({_embedded(chapter, match[1])})", text)
    title, rest = text.split("\n", 1)
    first = FIRST_CELL.format(root=str(ROOT), folder=str(reader_folder().resolve()))
    made = jupytext.reads(f"{title}\n\n{first}\n{rest}", fmt="md")
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def notebook_text(chapter: Chapter) -> str:
    """Return the content of the chapter's .ipynb file."""
    import jupytext

    return str(jupytext.writes(notebook(chapter), fmt="ipynb"))


def _embedded(chapter: Chapter, picture: str) -> str:
    """Return a picture as a data URL: a notebook is one file."""
    content = b64encode((chapter.folder / picture).read_bytes()).decode()
    return f"data:image/svg+xml;base64,{content}"
