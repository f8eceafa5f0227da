"""Other right solutions of chapters 8 to 14 pass too: a check looks at results, not at the way of the kept solution."""

import shutil
from pathlib import Path

import pytest
from agreement import needs_compiler

from book import kernels
from book.answers import judge, solution_of
from book.chapters import chapter

WELFORD = """def statistics(rows):
    center = next(rows)
    count, mean, squares = np.float32(1), np.zeros_like(center), np.zeros_like(center)
    for row in rows:
        count += np.float32(1)
        before = row - center - mean
        mean += before / count
        squares += before * (row - center - mean)
    return center, mean, squares / count
"""
OPERATIONS = """    def forward(self, x):
        features = [norm(conv(x)) for conv, norm in zip(self.convs, self.norms)]
        squeeze = sum((ops.global_avg_pool2d(feature) for feature in features[1:]), ops.global_avg_pool2d(features[0]))
        z = self.norm(self.fc1(squeeze)[:, :, None, None])[:, :, 0, 0]
        out, weights = ops.select(self.fc2(z).reshape(len(x), len(features), -1), features)
        self.attention = weights.detach()
        return out
"""
IN_JSON = """def capture(run):
    kept = [{name: array.tolist() for name, array in state.items()} for state in run.optimizer.state]
    arrays = {name: value.numpy().copy() for name, value in run.model.state_dict().items()}
    values = {"kept": kept, "steps": list(run.optimizer.steps), "at": run.schedule.steps}
    return arrays, {**values, "random": run.random.bit_generator.state}


def restore(run, arrays, values):
    run.model.load_state_dict(arrays)
    groups = run.optimizer.state_dict()["groups"]
    state = [{name: np.array(kept, np.float32) for name, kept in each.items()} for each in values["kept"]]
    run.optimizer.load_state_dict({"state": state, "steps": values["steps"], "groups": groups})
    run.schedule.go_to(values["at"])
    run.random.bit_generator.state = values["random"]


"""


def replaced(number: int, begin: str, end: str, new: str, file: str = "exercise.py") -> str:
    """Return the kept solution with the text from `begin` to `end` replaced."""
    text = solution_of(chapter(number), file).read_text(encoding="utf-8")
    start = text.index(begin)
    return text[:start] + new + text[text.index(end, start) if end else len(text) :]


def judged(number: int, source: str, file: str, folder: Path) -> str | None:
    for exercise in chapter(number).exercises:
        shutil.copy(solution_of(chapter(number), exercise.name), folder / exercise.name)
    (folder / file).write_text(source, encoding="utf-8")
    return judge(chapter(number), folder)


@pytest.mark.parametrize(
    ("number", "source"),
    [
        (8, replaced(8, "def statistics", "\n\nclass", WELFORD)),
        (9, replaced(9, "    def forward", "", OPERATIONS)),
        (14, replaced(14, "def capture", "def write", IN_JSON)),
    ],
)
def test_another_right_program_passes(number: int, source: str, tmp_path: Path) -> None:
    assert judged(number, source, "exercise.py", tmp_path) is None


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("s += blockDim.x", "s += 0", "still runs after 1 seconds"),
        ("    }\n}", "    }\n", "is there a closing brace for each opening one?"),
    ],
)
def test_a_kernel_without_an_end_is_answered(old, new, sentence, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "LONGEST_LAUNCH", 1.0)
    source = solution_of(chapter(10), "exercise.cu").read_text(encoding="utf-8")
    assert sentence in judged(10, source.replace(old, new), "exercise.cu", tmp_path)


@needs_compiler
def test_a_softmax_of_two_written_as_a_logistic_function_passes(tmp_path: Path) -> None:
    logistic = "const wide a0 = 1 / (1 + exp(z1 - z0)), a1 = 1 / (1 + exp(z0 - z1));\n"
    source = replaced(12, "const wide e0", "    if (threadIdx", logistic, "exercise.cu").replace(
        ", top = z0 > z1 ? z0 : z1", ""
    )
    assert judged(12, source, "exercise.cu", tmp_path) is None
