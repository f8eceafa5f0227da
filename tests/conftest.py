"""Fixtures that tests of several packages share, and the tests of `pytest -m core`."""

import os

import pytest
from core_tests import CORE, NOT_CORE


def pytest_collection_modifyitems(items):
    prefixes = tuple(f"tests/{entry}" for entry in CORE)
    for item in items:
        if item.nodeid.startswith(prefixes) and not item.name.startswith(tuple(NOT_CORE)):
            item.add_marker(pytest.mark.core)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs):
    """Share the cores between the processes that run tests side by side (`-n`), with at least two threads each."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(2, (os.cpu_count() or 1) // len(specs))))


@pytest.fixture(scope="session")
def torch():
    """Return PyTorch on one thread, or skip the test where it is not installed."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module
