"""Every chapter as a notebook: the same cells in the same order, and in a kernel the same outputs."""

import pytest

from book.chapters import chapters
from book.notebooks import notebook, notebook_text
from book.text import Run, blocks_of
from minisk.runtime import why_no_kernels

every_chapter = pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.name)


@every_chapter
def test_a_notebook_has_a_cell_for_every_block_that_runs(chapter):
    pytest.importorskip("jupytext")
    cells = [cell.source for cell in notebook(chapter).cells if cell.cell_type == "code"]
    expected = []
    for block in blocks_of(chapter.text):
        if block.language == "python":
            expected.append(block.content.strip())
        elif block.language == "cuda" and block.argument:
            expected.append(f"%%writefile {block.argument}\n{block.content.strip()}")
    assert cells[1:] == expected, "the first cell finds minisk"


def test_the_pictures_are_inside_the_notebook():
    pytest.importorskip("jupytext")
    text = notebook_text(chapters()[0])
    assert "](pictures/" not in text
    assert "data:image/svg+xml;base64," in text


@every_chapter
def test_a_notebook_prints_in_a_kernel_what_the_text_shows(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISK_BOOK", str(tmp_path))
    pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    if chapter.number in range(10, 15) and (why := why_no_kernels()) is not None:
        pytest.skip(f"chapter {chapter.number} runs CUDA: {why}")
    made = notebook(chapter)
    nbclient.NotebookClient(made, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in made.cells if cell.cell_type == "code"][1:]
    blocks = [block for block in blocks_of(chapter.text) if block.language in ("python", "output") or block.argument]
    for cell, block in zip(cells, [block for block in blocks if block.language != "output"], strict=True):
        printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        if block.language == "python":
            after = blocks[blocks.index(block) + 1 :][:1]
            shown = after[0] if after and after[0].language == "output" else None
            assert Run(block, shown, printed).agrees, f"{chapter.name}, line {block.line} prints {printed}"


def test_a_notebook_finds_the_readers_own_solutions(tmp_path, monkeypatch):
    pytest.importorskip("jupytext")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINISK_BOOK", raising=False)
    first = next(cell.source for cell in notebook(chapters()[0]).cells if cell.cell_type == "code")
    assert f'os.environ["MINISK_BOOK"] = {str(tmp_path / "my_book")!r}' in first
