"""Files are written whole or not at all."""

import pytest

from segmamba.atomic import replacing


def test_a_file_takes_its_place_when_all_is_written(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with replacing(path, ".nii.gz") as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".nii.gz") and temporary != path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nothing_written_is_an_error_and_no_file(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())
