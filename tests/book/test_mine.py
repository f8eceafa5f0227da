"""`book.mine`: the reader's own kernels go on into a later chapter."""

import json

import book
from book.chapters import chapter


def test_a_solved_exercise_is_loaded_and_an_unsolved_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISK_BOOK", str(tmp_path))
    folder = tmp_path / chapter(10).name
    folder.mkdir()
    (folder / "exercise.py").write_text("PREDICTION = 80\n")
    assert book.mine(10).PREDICTION == 8, "not solved: the kept solution"
    (tmp_path / "progress.json").write_text(json.dumps({"10": "2026-01-01"}))
    assert book.mine(10).PREDICTION == 80
