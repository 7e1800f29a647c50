"""What the benchmark's tests share."""

import pytest


@pytest.fixture(scope="session")
def relative_error():
    """Distance of two tensors in units of the second."""

    def measure(got, right) -> float:
        return ((got.double() - right.double()).norm() / right.double().norm().clamp_min(1e-30)).item()

    return measure
