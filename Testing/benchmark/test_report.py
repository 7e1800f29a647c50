"""Files of results."""

import json

import pytest

from segmamba.benchmark.report import folder_for, markdown_table, write
from segmamba.errors import UserError


def test_a_table_in_markdown():
    lines = markdown_table(("a", "b"), [["x|y", "1"]], right=(1,))
    assert lines == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_three_files_are_written(tmp_path):
    folder = folder_for(str(tmp_path / "new" / "folder"))
    paths = write(folder, "x", {"a": 1}, ["# x"], lambda document, path: path.write_bytes(b"picture"))
    assert [p.name for p in paths] == ["x.md", "x.json", "x.png"]
    assert paths[0].read_text() == "# x\n" and json.loads(paths[1].read_text()) == {"a": 1}
    assert sorted(p.name for p in folder.iterdir()) == ["x.json", "x.md", "x.png"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"-o .*file cannot be made"):
        folder_for(str(tmp_path / "file"))


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path, "x", {}, [], lambda document, path: path.write_bytes(b""))
