"""Fixtures that tests of several packages share, and the marks of `pytest -m core`."""

import pytest


@pytest.fixture(scope="session")
def torch():
    """Return PyTorch on one thread, or skip the test where it is not installed."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module
