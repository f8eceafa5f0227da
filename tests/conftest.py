"""Fixtures that tests of several packages share, and the tests of `pytest -m core`."""

import pytest
from core_tests import CORE, NOT_CORE


def pytest_collection_modifyitems(items):
    prefixes = tuple(f"tests/{entry}" for entry in CORE)
    for item in items:
        if item.nodeid.startswith(prefixes) and not item.name.startswith(tuple(NOT_CORE)):
            item.add_marker(pytest.mark.core)


@pytest.fixture(scope="session")
def torch():
    """Return PyTorch on one thread, or skip the test where it is not installed."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module
