"""Packages, files and functions stay within the budgets of tools/count_lines.py."""

from pathlib import Path

import count_lines
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.core
def test_packages_files_and_functions_stay_within_their_budgets():
    problems = count_lines.problems(ROOT)
    assert not problems, "\n" + "\n".join(problems)


def test_every_file_of_the_package_counts_towards_exactly_one_budget():
    counted = [path for budget in count_lines.BUDGETS for path in budget.files(ROOT)]
    assert len(set(counted)) == len(counted)
    assert set(count_lines.source_files(ROOT)) - set(counted) == {ROOT / name for name in count_lines.PROGRAMS}


def test_comments_docstrings_and_blank_lines_are_free():
    python = (
        '"""Docstring."""\n\n# comment\ndef f():\n    """One\n    two."""\n    return """text\nmore"""  # comment\n'
    )
    assert count_lines.python_lines(python) == 3
    cuda = "// comment\n\nint f() {  // comment\n    return 1; /* one */\n}\n"
    assert count_lines.c_lines(cuda) == 3


def test_a_long_file_and_a_long_function_are_named(tmp_path):
    (tmp_path / "minisk" / "ops").mkdir(parents=True)
    body = "".join(f"    x = {number}\n" for number in range(count_lines.FUNCTION_LIMIT))
    (tmp_path / "minisk" / "ops" / "long.py").write_text(f"def f():\n{body}" + "y = 1\n" * count_lines.FILE_LIMIT)
    file, function = count_lines.problems(tmp_path)
    assert file.startswith("minisk/ops/long.py: 341 lines of code")
    assert function.startswith("minisk/ops/long.py: f has 41 lines of code")
