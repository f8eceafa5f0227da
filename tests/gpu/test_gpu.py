"""The suite that runs everywhere on CuPy's stand-in, on a GPU: `pytest tests/gpu`. Skipped where there is none."""

import pytest
from device_suite import DeviceSuite

from minisk.backend import cuda_available


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_available(), reason="no CUDA driver, device or CuPy")
class TestGpu(DeviceSuite):
    """All that a GPU has to do."""
