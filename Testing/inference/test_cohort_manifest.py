"""The manifest of a cohort: appended line by line, read after whatever has happened to it."""

import json

import pytest

from segmamba.errors import UserError
from segmamba.inference.cohort_manifest import Manifest, write_text


def test_the_last_line_of_a_case_counts(tmp_path):
    manifest = Manifest(tmp_path / "m.jsonl")
    for case, status in (("a", "failed"), ("b", "done"), ("a", "done")):
        manifest.append({"case": case, "status": status})
    again = Manifest(tmp_path / "m.jsonl")
    assert again.lines == manifest.lines == {case: {"case": case, "status": "done"} for case in "ab"}
    assert (tmp_path / "m.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize("torn", [b'{"case": "b", "sta', b"\0\0\0\0", b'{"case": "b"}', b'{"case": \n', b"\0\0\n"])
def test_a_torn_last_line_is_cut_off(tmp_path, torn):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"case": "a"}\n' + torn)
    manifest = Manifest(path)
    assert list(manifest.lines) == ["a"]
    manifest.append({"case": "c"})
    assert [json.loads(line)["case"] for line in path.read_text().splitlines()] == ["a", "c"]


@pytest.mark.parametrize("bad", ["no JSON", "[]", '{"status": "done"}'])
def test_a_damaged_line_within_is_named(tmp_path, bad):
    (tmp_path / "m.jsonl").write_text(f'{{"case": "a"}}\n{bad}\n{{"case": "b"}}\n')
    with pytest.raises(UserError, match=r"m\.jsonl: line 2 .*--overwrite"):
        Manifest(tmp_path / "m.jsonl")


def test_what_cannot_be_written_is_said_and_leaves_the_old_file(tmp_path):
    manifest = Manifest(tmp_path / "missing" / "m.jsonl")
    with pytest.raises(UserError, match=r"m\.jsonl cannot be written"):
        manifest.append({"case": "a"})
    assert manifest.lines == {}
    with pytest.raises(UserError, match=r"x\.csv cannot be written"):
        write_text(tmp_path / "missing" / "x.csv", "text")
