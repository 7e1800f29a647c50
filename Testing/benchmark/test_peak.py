"""The high-water mark of memory."""

import sys

import pytest
import torch

from segmamba.benchmark.peak import Peak

MB = 1 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux sets its mark back")
def test_what_was_freed_again_counts_and_what_came_before_does_not():
    before = torch.ones(300 * MB // 4)
    del before
    with Peak() as peak:
        passing = torch.ones(200 * MB // 4)
        del passing
        torch.ones(50 * MB // 4)
    assert 195 * MB < peak.bytes < 230 * MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux sets its mark back")
def test_nothing_takes_nothing():
    with Peak() as peak:
        pass
    assert peak.bytes < 2 * MB
