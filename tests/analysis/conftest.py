"""Fixtures for the tests of attention."""

import numpy as np
import pytest

from minisk.analysis.attention import Measurement, conditions_for


@pytest.fixture(scope="session")
def measurement():
    """Return a function: values (n, V, U) → a Measurement whose units have eight equal channels."""

    def made(values):
        n, views, units = values.shape
        channels = [np.repeat(values[:, :, u].mean(axis=0)[:, np.newaxis], 8, axis=1) for u in range(units)]
        return Measurement(
            units=[f"SK_2_{u + 1}" for u in range(units)],
            value_name="mean of a₅ₓ₅ − a₃ₓ₃",
            conditions=conditions_for([1.5])[:views],
            values=values,
            channels=channels,
            original_channels=[np.repeat(values[:, 0, u : u + 1], 8, axis=1).astype(np.float32) for u in range(units)],
            positions=np.arange(n),
            labels=np.zeros(n, np.int64),
            broken=[],
            forward_seconds=1.0,
            seconds=1.1,
        )

    return made
