"""Run the device suite on a real GPU: `pytest tests/gpu`. The tests are skipped where there is none."""

import pytest
from device_suite import DeviceSuite

from minisk.backend import cuda_available


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_available(), reason="no CUDA driver, device or CuPy")
class TestGpu(DeviceSuite):
    """The suite that runs everywhere on CuPy's stand-in (tests/backend)."""
