"""Temporary folders: private, removed with their owner, and after a killed owner at the next start."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def test_a_folder_goes_with_its_object(jobs, tmp_path):
    folder = jobs.TemporaryFolder(tmp_path / "base")
    (folder.path / "T1.npy").write_text("x")
    assert str(os.getpid()) in folder.path.name
    if os.name != "nt":
        assert folder.path.stat().st_mode & 0o077 == 0
    assert folder.remove() and not folder.path.exists()
    assert folder.remove()
    path = jobs.TemporaryFolder(tmp_path).path
    gc.collect()
    assert not path.exists()


def test_folders_of_a_killed_process_are_removed_and_no_others(jobs, tmp_path):
    from SegMambaSlicerLib.jobs import temporary

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = jobs.TemporaryFolder(tmp_path)
    mark = f"-{os.getpid()}-"
    left = tmp_path / own.path.name.replace(mark, f"-{gone.pid}-")
    elsewhere = tmp_path / left.name.replace(temporary._host(), "other_computer")
    similar = tmp_path / f"{left.name} copy"
    for folder in (left, elsewhere, similar):
        (folder / "inside").mkdir(parents=True)
    assert jobs.remove_leftovers(tmp_path) == [left]
    assert own.path.exists() and elsewhere.exists() and similar.exists() and not left.exists()
    assert jobs.remove_leftovers(tmp_path / "missing") == []


def test_a_runner_removes_what_an_earlier_one_left(make_runner, jobs, tmp_path, temporary_files):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    name = jobs.TemporaryFolder().path.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    (tmp_path / "temporary" / name).mkdir()
    make_runner()
    assert temporary_files() == []


def test_processes_are_told_apart_from_none(jobs):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_lives(child.pid) and process_lives(os.getpid())
    child.communicate(b"\n")
    assert not process_lives(child.pid)


def test_slicers_temporary_folder_is_used_where_there_is_one(application, tmp_path, monkeypatch):
    import slicer
    from SegMambaSlicerLib.jobs.temporary import temporary_base

    with monkeypatch.context() as patch:
        patch.setattr(slicer, "app", type("Application", (), {"temporaryPath": str(tmp_path)}))
        assert temporary_base() == tmp_path
        patch.delattr(slicer, "app")
        assert temporary_base() == Path(tempfile.gettempdir())
