"""Files of machine code come back as they were written, and old ones go."""

import os
import time

import pytest

from segmamba.native import kernel_files

KEY = "0123456789abcdef" * 4


def test_what_is_written_is_read_back(tmp_path):
    kernel_files.write(tmp_path / "new", "toy", KEY, ("one", "two"), b"code")
    assert kernel_files.read(tmp_path / "new", "toy", KEY) == (("one", "two"), b"code")


def test_a_file_of_another_key_under_this_name_is_not_read(tmp_path):
    kernel_files.write(tmp_path, "toy", KEY, ("one",), b"code")
    assert kernel_files.read(tmp_path, "toy", KEY[:-1] + "0") is None
    assert kernel_files.read(tmp_path, "toy", "f" + KEY[1:]) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX's modes")
def test_files_are_closed_to_others_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        kernel_files.write(tmp_path / "new", "toy", KEY, (), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (file,) = (tmp_path / "new").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_read(tmp_path):
    kernel_files.write(tmp_path, "toy", KEY, (), b"code")
    (file,) = tmp_path.iterdir()
    os.chown(file, 12345, -1)
    assert kernel_files.read(tmp_path, "toy", KEY) is None


def test_only_the_latest_files_of_the_same_kernels_stay(tmp_path):
    kernel_files.write(tmp_path, "toy-two", KEY, (), b"")
    now = time.time()
    for i in range(12):
        key = f"{i:032x}{0:032x}"
        kernel_files.write(tmp_path, "toy", key, (), b"")
        os.utime(tmp_path / f"toy-{key[:32]}.kernels", (now - 100 + i, now - 100 + i))
    left = {path.name for path in tmp_path.iterdir()}
    # Seven older ones, and the last.
    assert left == {f"toy-two-{KEY[:32]}.kernels", *(f"toy-{i:032x}.kernels" for i in range(4, 12))}


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    old, fresh = tmp_path / ".aa.kernels-part", tmp_path / ".bb.kernels-part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    kernel_files.write(tmp_path, "toy", KEY, (), b"")
    assert not old.exists() and fresh.exists()
