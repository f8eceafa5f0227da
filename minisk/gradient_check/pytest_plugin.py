"""A pytest fixture, `gradcheck`. In conftest.py: `pytest_plugins = ["minisk.gradient_check.pytest_plugin"]`. In a test:

def test_my_layer(gradcheck):
    gradcheck(MyLayer(3), x, order=2)

A failure shows the report, without the checker's frames.
"""

from collections.abc import Callable
from typing import Any

import pytest

from .checker import gradcheck as check_gradient
from .report import GradcheckReport


@pytest.fixture(name="gradcheck")
def gradcheck_fixture() -> Callable[..., GradcheckReport]:
    """Return a function like `ms.gradcheck` that fails the test instead of raising."""

    def check(fn: Any, inputs: Any, **options: Any) -> GradcheckReport:
        options["raise_on_failure"] = False
        report = check_gradient(fn, inputs, **options)
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return check
