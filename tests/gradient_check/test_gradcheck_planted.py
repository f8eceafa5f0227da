"""Each planted bug gets its verdict, and its element is among the first rows."""

import planted_structure
import planted_values
import pytest

import minisk as ms
from minisk.gradient_check import Verdict

BUGS = [*planted_values.BUGS, *planted_structure.BUGS]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_gets_its_verdict_and_its_place(bug):
    report = ms.gradcheck(bug.function, bug.arrays, order=bug.order, raise_on_failure=False)
    assert report.verdict is bug.verdict, str(report)
    if bug.input is not None:
        assert bug.input in {row.input for row in report.rows}, str(report)
    if bug.element is not None:
        assert (bug.input, bug.element) in [(row.input, row.index) for row in report.rows[:3]], str(report)


def test_there_are_enough_bugs_and_every_verdict_is_among_them():
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 60
    assert {bug.verdict for bug in BUGS} == set(Verdict) - {Verdict.CORRECT}
