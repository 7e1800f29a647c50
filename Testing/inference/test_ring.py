"""The sliding window's accumulators: one behaviour in memory and in a file, and a full disk told as such."""

import os
import tempfile

import numpy as np
import pytest
import torch

from segmamba.errors import UserError
from segmamba.inference import ring
from segmamba.inference.ring import FileRing, MemoryRing

CPU = torch.device("cpu")


@pytest.mark.parametrize("width", [9, 3000])
def test_a_file_keeps_what_memory_keeps_when_slots_are_used_again(width):
    shape = (4, 6, width, 2)
    rings = [MemoryRing(shape, CPU), FileRing(shape, CPU)]
    rng = np.random.default_rng(0)
    for first in range(5):
        values = torch.from_numpy(rng.normal(size=(3, 4, width - 2, 2)).astype(np.float32))
        for one in rings:
            one.add((first, 1, 2), values)
        for plane in range(first, first + 3):
            memory, file = (one.read(plane, 0, 6).clone() for one in rings)
            assert torch.equal(memory, file) and memory.any()
        for one in rings:
            one.clear(first)
            assert not one.read(first, 0, 6).any()
    for one in rings:
        one.close()


def test_a_folder_that_takes_no_temporary_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"folder for temporary files.*file.*TMPDIR"):
        FileRing((4, 6, 9, 2), CPU)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of Unix")
def test_a_file_that_cannot_grow_is_closed_and_told_in_words():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Python ignores the signal: an error is left
    try:
        with pytest.raises(UserError, match="no room"):
            FileRing((4, 60, 90, 2), CPU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(os.listdir("/proc/self/fd") if before else ()) <= len(before)


def test_more_than_the_disk_holds_is_refused_before_a_file_is_made():
    with pytest.raises(UserError, match="no room for"):
        FileRing((1 << 20, 1 << 12, 1 << 12, 4), CPU)
    assert ring._CHUNK_BYTES < 1 << 21
