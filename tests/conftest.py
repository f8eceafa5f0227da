"""What tests of several files ask for by name."""

import pytest


@pytest.fixture
def torch():
    """PyTorch, on one thread; the test is skipped where it is not installed."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module
