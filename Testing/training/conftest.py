"""What the tests here share: modules beside them, and torch's threads as they were."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def torch_threads():
    """Runs set torch's threads; the tests after them shall have their own."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
