"""A pytest fixture: `pytest_plugins = ["minisk.gradient_check.pytest_plugin"]` in conftest.py, then

def test_my_layer(gradcheck):
    gradcheck(MyLayer(3), x, order=2)

A failure shows the report alone, not the checker's frames.
"""

from collections.abc import Callable
from typing import Any

import pytest

from .checker import gradcheck as check_gradient
from .report import GradcheckReport


@pytest.fixture(name="gradcheck")
def gradcheck_fixture() -> Callable[..., GradcheckReport]:
    """Return `ms.gradcheck`, which fails the test instead of raising."""

    def check(fn: Any, inputs: Any, **options: Any) -> GradcheckReport:
        report = check_gradient(fn, inputs, **options | {"raise_on_failure": False})
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return check
