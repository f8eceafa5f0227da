"""`pytest -m core` reaches every package."""

import re
from pathlib import Path

import pytest
from core_tests import CORE

TESTS = Path(__file__).resolve().parents[1]
WITHOUT_TESTS = {"support", "gpu", "__pycache__"}


@pytest.mark.parametrize("entry", CORE)
def test_every_entry_names_a_folder_a_file_or_a_test(entry):
    path, _, test = entry.partition("::")
    assert (TESTS / path).exists()
    assert not test or f"def {test.partition('[')[0]}" in (TESTS / path).read_text(encoding="utf-8")


@pytest.mark.core
@pytest.mark.parametrize("folder", sorted({path.name for path in TESTS.iterdir() if path.is_dir()} - WITHOUT_TESTS))
def test_every_folder_of_tests_has_a_core_test(folder):
    listed = any(name.split("/")[0] == folder for name in CORE)
    files = [*(TESTS / folder).glob("*.py")]
    marked = any(re.search(r"mark\.core\b|DeviceSuite", path.read_text(encoding="utf-8")) for path in files)
    assert listed or marked or not files
