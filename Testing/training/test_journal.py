"""The log of a run: cut when it goes on, whole after a crash, drawn as a picture."""

import json

import pytest

from segmamba.errors import UserError
from segmamba.training.journal import Journal


def row(epoch, **more):
    return {"epoch": epoch, "loss": 1 / epoch, **more}


def test_what_is_added_is_read_back(tmp_path):
    journal = Journal(tmp_path)
    assert journal.rows() == []
    rows = [row(1), row(2, dice={"a": 0.5, "b": None})]
    for one in rows:
        journal.add(one)
    assert journal.rows() == rows
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == rows


def test_cutting_forgets_the_epochs_that_are_done_again(tmp_path):
    journal = Journal(tmp_path)
    for epoch in (1, 2, 3):
        journal.add(row(epoch))
    journal.cut(2)
    journal.add(row(3, again=True))
    assert journal.rows() == [row(1), row(2), row(3, again=True)]


def test_a_torn_last_line_is_forgotten(tmp_path):
    journal = Journal(tmp_path)
    journal.add(row(1))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"epoch": 2, "lo')
    assert journal.rows() == [row(1)]
    journal.cut(1)
    journal.add(row(2))
    assert journal.rows() == [row(1), row(2)]


def test_values_are_amended_to_the_row_of_their_epoch(tmp_path):
    journal = Journal(tmp_path)
    journal.add(row(1))
    journal.add(row(2))
    journal.amend(2, {"dice": {"a": 0.5}})
    assert journal.rows() == [row(1), row(2, dice={"a": 0.5})]


def test_the_picture_is_a_png_with_and_without_dice(tmp_path):
    journal = Journal(tmp_path)
    journal.add(row(1))
    journal.draw()
    plain = (tmp_path / "progress.png").read_bytes()
    assert plain[:8] == b"\x89PNG\r\n\x1a\n"
    journal.add(row(2, dice={"box": 0.7, "never there": None}))
    journal.draw()
    assert (tmp_path / "progress.png").read_bytes() != plain
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "progress.png"}


def test_a_folder_that_is_gone_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"log\.jsonl cannot be written"):
        Journal(tmp_path / "gone").add(row(1))
