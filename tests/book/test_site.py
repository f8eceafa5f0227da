"""The pages from which the site is built; `tools/build_site.py` itself runs in the gate, where MkDocs is installed."""

import importlib
import re
from pathlib import Path

import build_site
import pytest

from book.chapters import chapter, chapters

ROOT = Path(__file__).resolve().parents[2]


def test_a_page_shows_outputs_below_their_code_and_the_parts_of_minisk():
    page = build_site.chapter_page(chapter(1))
    assert "```output" not in page
    assert "``` {.text .prints}" in page
    assert '??? quote "`extrapolate` in minisk/gradient_check/differences.py, line ' in page
    assert "    def extrapolate(" in page


def test_every_language_of_a_fence_is_one_that_the_site_colours():
    for each in chapters():
        fences = re.findall(r"^ *```(\S*)", build_site.chapter_page(each), re.MULTILINE)
        assert set(fences) <= {"", "python", "text", "cuda"}, each.name


def test_the_menu_lists_every_chapter_document_and_decision_once():
    menu = build_site.navigation()
    for folder in ("docs", "docs/decisions"):
        for path in (ROOT / folder).glob("*.md"):
            assert menu.count(f"- {folder}/{path.name}\n") == 1
    assert [each.name for each in chapters()] == re.findall(r"- book/(\w+)/index\.md", menu)


@pytest.mark.parametrize("name", build_site.REFERENCE)
def test_a_page_of_the_reference_lists_names_that_exist(name):
    package = importlib.import_module(name)
    names = build_site.public_names(package)
    assert names
    assert all(getattr(package, each).__doc__ for each in names)


def test_the_first_page_of_the_book_is_for_readers():
    page = build_site.book_index()
    assert "For authors" not in page
    assert all(f"[{each.question}]({each.name}/index.md)" in page for each in chapters())
