"""No six lines of code stand in two places."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["minisk", "tests", "tools", "benchmarks"]
SUFFIXES = {".py", ".cu", ".cuh", ".h"}
LENGTH = 6
# Lines that say nothing by themselves: imports, comments, lone punctuation; a name in `__all__`; a parameter in a
# signature, since a function of minisk.kernels and its reference take the same.
THIN = re.compile(r"(from|import)\b|#|//|[\W_]*$|\"\w+\",$|\w+: [\w.|\[\], ]+( = [\w.]+)?,?$")
# (file, file): why the same lines may stand in both.
REASONS = {
    ("minisk/ops/softmax.py", "minisk/ops/softmax.py"): "Softmax and LogSoftmax: each is read on one screen",
}


def code_of(path):
    """Return (line number, stripped line) of each line that counts; names of a bracketed import do not."""
    found = []
    in_import = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        starts_import = re.match(r"from .* import \($", text) is not None
        if not (in_import or starts_import or THIN.match(text)):
            found.append((number, text))
        in_import = (in_import or starts_import) and not text.startswith(")")
    return found


def repeated_runs(root):
    """Return "file:line ~ file:line" for each place where six lines stand that stood before."""
    places = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                lines = code_of(path)
                for start in range(len(lines) - LENGTH + 1):
                    run = tuple(text for _, text in lines[start : start + LENGTH])
                    places[run].append((str(path.relative_to(root)), lines[start][0]))
    found = {}
    for (file, line), *others in places.values():
        for other_file, other_line in others:
            # One row for each pair of places: where a longer run begins.
            distance = (file, other_file, other_line - line)
            if (file, other_file) not in REASONS and (file, line) != (other_file, other_line):
                found.setdefault(distance, f"{file}:{line} ~ {other_file}:{other_line}")
    return list(found.values())


def test_no_six_lines_stand_twice():
    found = repeated_runs(ROOT)
    assert not found, "the same six lines:\n" + "\n".join(found)


@pytest.mark.parametrize(("common", "count"), [(5, 0), (6, 1), (9, 1)])
def test_six_common_lines_are_found_and_five_are_not(tmp_path, common, count):
    shared = "".join(f"x{i} = {i}\n\n# comment {i}\n" for i in range(common))
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "minisk" / "a.py").write_text("import a\n" + shared + "a = 1\n")
    (tmp_path / "tests" / "b.py").write_text("b = 1\n" + shared.replace("comment", "other"))
    found = repeated_runs(tmp_path)
    assert len(found) == count
    assert found in ([], ["minisk/a.py:2 ~ tests/b.py:2"])
