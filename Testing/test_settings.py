"""Tests of the settings file and the user's folders."""

import json
import sys
from pathlib import Path

import pytest

from segmamba import settings
from segmamba.errors import UserError
from segmamba.settings import Settings, read_settings, settings_file, user_models_folder, write_settings

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG folders")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@linux_only
def test_files_lie_in_the_users_folders(tmp_path):
    assert settings_file() == tmp_path / "config" / "segmamba" / "settings.json"
    assert user_models_folder() == tmp_path / "data" / "segmamba" / "models"


@linux_only
@pytest.mark.parametrize("variable", ["set", "unset"])
def test_folders_are_the_same_with_and_without_platformdirs(monkeypatch, variable):
    if variable == "unset":
        monkeypatch.delenv("XDG_DATA_HOME")
        monkeypatch.delenv("XDG_CONFIG_HOME")
    with_it = (settings_file(), user_models_folder())
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert (settings_file(), user_models_folder()) == with_it


def test_no_file_gives_the_defaults(tmp_path):
    assert read_settings(tmp_path / "none.json") == Settings()


def test_settings_are_read_as_they_were_written(tmp_path):
    wanted = Settings((tmp_path / "a", tmp_path / "b"))
    path = write_settings(wanted, tmp_path / "new" / "settings.json")
    assert read_settings(path) == wanted
    assert [p.name for p in path.parent.iterdir()] == ["settings.json"]


def test_a_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"model_folders": [str(tmp_path)]}), encoding="utf-8-sig")
    assert read_settings(path).model_folders == (tmp_path,)


def test_home_is_expanded(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"model_folders": ["~/models"]}))
    assert read_settings(path).model_folders == (Path.home() / "models",)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "JSON object"),
        ('{"colour": 1}', "colour is not a known key, known are model_folders"),
        ('{"model_folders": "x"}', "model_folders is 'x', expected a list"),
        ('{"model_folders": [1]}', "expected a list of folders"),
        ('{"model_folders": ["relative/folder"]}', "whole path"),
    ],
)
def test_wrong_settings_are_refused_by_file(tmp_path, content, hint):
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_settings(path)
    assert str(path) in str(error.value) and hint in str(error.value)


def test_wrong_settings_are_not_written(tmp_path):
    path = write_settings(Settings((tmp_path,)), tmp_path / "settings.json")
    with pytest.raises(UserError, match="whole path"):
        write_settings(Settings((Path("relative"),)), path)
    assert read_settings(path) == Settings((tmp_path,))


def test_unreadable_settings_are_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_settings(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_settings(settings.Settings(), tmp_path / "file" / "settings.json")
