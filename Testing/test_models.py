"""Tests of the catalogue of models."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segmamba import models
from segmamba.bundle import Bundle, Channel, Label, Metadata, write_bundle
from segmamba.errors import UserError
from segmamba.models import entries, find, install, remove
from segmamba.settings import Settings, user_models_folder, write_settings


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty catalogue: a shipped, a shared and a user folder of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    if not sys.platform.startswith("linux"):  # where XDG is not heeded, tests must not touch the real folders
        monkeypatch.setattr("segmamba.settings._user_folder", lambda kind: tmp_path / kind / "segmamba")
    monkeypatch.setattr(models, "shipped_folder", lambda: tmp_path / "shipped")
    for name in ("shipped", "shared", "made"):
        (tmp_path / name).mkdir()
    write_settings(Settings((tmp_path / "shared",)))
    return tmp_path


def make(path: Path, name: str = "brain", version: str = "1", value: float = 1.0) -> Bundle:
    metadata = Metadata(
        name=name,
        version=version,
        description="",
        network="segmamba",
        channels=(Channel("T1", "MR"),),
        labels=(Label(1, "Structure", (255, 0, 0)),),
        patch=(16, 16, 16),
    )
    return write_bundle(path, metadata, {"w": np.full(4, value)}, "read me", "free")


def listed() -> list[tuple[str, str, str]]:
    return [(e.name, e.source, e.metadata.version if e.metadata else "damaged") for e in entries()]


def test_real_shipped_folder_is_the_checkouts(monkeypatch):
    monkeypatch.undo()
    expected = Path(__file__).resolve().parents[1] / "Resources" / "Models"
    assert models.shipped_folder() == expected


def test_first_of_a_name_wins_in_the_stated_order(folders):
    make(folders / "shipped" / "b", "brain", "1")
    make(folders / "shared" / "x.zip", "brain", "2")
    make(folders / "shared" / "liver", "liver", "3")
    user_models_folder().mkdir(parents=True)
    make(user_models_folder() / "liver", "liver", "4")
    make(user_models_folder() / "spleen", "spleen", "5")
    assert listed() == [("brain", "shipped", "1"), ("liver", "folder", "3"), ("spleen", "user", "5")]
    assert find("brain").metadata.version == "1"
    assert find("liver").path == folders / "shared" / "liver"


def test_damaged_package_is_listed_and_hides_nothing(folders):
    broken = make(folders / "shipped" / "brain").path
    (broken / "configs" / "metadata.json").write_text("{")
    without = make(folders / "shipped" / "weightless", "liver").path
    (without / "models" / "model.safetensors").unlink()
    (folders / "shipped" / "bad.zip").write_text("no zip")
    (folders / "shipped" / "notes").mkdir()
    (folders / "shipped" / "README.md").write_text("not a model")
    make(folders / "shared" / "brain", "brain", "2")
    make(folders / "shared" / "liver", "liver", "3")
    found = {(e.name, e.source): e.problem for e in entries()}
    assert "damaged" in found["brain", "shipped"]
    assert "model.safetensors is missing" in found["liver", "shipped"]
    assert "damaged zip" in found["bad", "shipped"]
    assert found["brain", "folder"] is None
    assert len(found) == 5
    assert find("brain").metadata.version == "2"
    assert find("liver").metadata.version == "3"


def test_missing_shared_folder_is_listed_as_a_problem(folders):
    write_settings(Settings((folders / "unplugged",)))
    (entry,) = entries()
    assert entry.source == "folder" and "unplugged" in entry.problem


def test_unknown_name_lists_models_and_close_ones(folders):
    make(folders / "shipped" / "a", "hippocampus")
    make(folders / "shipped" / "b", "liver")
    with pytest.raises(UserError) as error:
        find("hipocampus")
    assert str(error.value) == (
        "no model is named 'hipocampus', available are hippocampus, liver; did you mean 'hippocampus'?"
    )
    with pytest.raises(UserError, match="name one of them"):
        find("qqq")


def test_name_of_a_damaged_model_says_what_is_wrong(folders):
    broken = make(folders / "shipped" / "brain").path
    (broken / "configs" / "metadata.json").write_text("{")
    with pytest.raises(UserError, match=r"'brain' cannot be used: .*metadata\.json is damaged"):
        find("brain")


def test_paths_are_found_and_other_folders_do_not_hide_a_model(folders, monkeypatch):
    make(folders / "made" / "local", "other")
    make(folders / "shipped" / "brain", "brain")
    (folders / "made" / "brain").mkdir()
    (folders / "made" / "results").mkdir()
    monkeypatch.chdir(folders / "made")
    assert find("local").metadata.name == "other"
    assert find("./local").metadata.name == "other"
    assert find(folders / "made" / "local").metadata.name == "other"
    assert find("brain").metadata.name == "brain"
    with pytest.raises(UserError, match="not a model package"):
        find("./brain")
    with pytest.raises(UserError, match="results is not a model package"):
        find("results")
    with pytest.raises(UserError, match=r"gone\.zip does not exist"):
        find("gone.zip")
    with pytest.raises(UserError, match=r"no model is named 'brain-1\.0'"):
        find("brain-1.0")


@pytest.mark.parametrize("name", ["brain", "some.zip"])
def test_installed_model_is_a_sound_copy_under_its_name(folders, name):
    source = make(folders / "made" / name)
    done = install(source.path)
    assert not done.already and "is installed" in done.message
    assert done.entry.path == user_models_folder() / "brain"
    assert done.entry.source == "user"
    assert find("brain").path == done.entry.path
    assert find("brain").verify() == []
    assert find("brain").files == source.files
    assert [p.name for p in user_models_folder().iterdir()] == ["brain"]


def test_installing_again_says_so_and_another_needs_overwrite(folders):
    first = make(folders / "made" / "one").path
    other = make(folders / "made" / "two", version="2", value=2.0).path
    install(first)
    again = install(first)
    assert again.already and "already" in again.message
    with pytest.raises(UserError, match="--overwrite"):
        install(other)
    assert find("brain").metadata.version == "1"
    assert not install(other, overwrite=True).already
    assert find("brain").metadata.version == "2"


def test_damaged_installation_is_mended_by_installing_again(folders):
    source = make(folders / "made" / "one").path
    installed = install(source).entry.path
    (installed / "models" / "model.safetensors").write_bytes(b"x")
    assert not install(source).already
    assert find("brain").verify() == []


def test_installing_under_another_name_renames_the_model(folders):
    source = make(folders / "made" / "one")
    install(source.path)
    done = install(source.path, name="brain-2")
    assert done.entry.name == "brain-2"
    assert find("brain-2").metadata == replace(source.metadata, name="brain-2")
    assert find("brain-2").verify() == []
    assert install(source.path, name="brain-2").already


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "a b", "x" * 101])
def test_unsafe_names_are_refused(folders, name):
    source = make(folders / "made" / "one").path
    with pytest.raises(UserError, match="--name is"):
        install(source, name=name)
    assert entries() == []


def test_damaged_package_is_not_installed(folders):
    source = make(folders / "made" / "one").path
    (source / "models" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="SHA-256"):
        install(source)
    (source / "LICENSE").unlink()
    with pytest.raises(UserError, match=r"LICENSE is missing.*SHA-256"):
        install(source)
    assert not user_models_folder().exists()


def test_name_of_a_shipped_model_is_not_taken(folders):
    make(folders / "shipped" / "brain")
    same = make(folders / "made" / "same").path
    other = make(folders / "made" / "other", version="2").path
    assert install(same).already
    with pytest.raises(UserError, match="would hide this one"):
        install(other)
    assert install(other, name="brain2").entry.name == "brain2"


def test_hand_copied_model_is_replaced_where_it_lies(folders):
    user_models_folder().mkdir(parents=True)
    make(user_models_folder() / "a_copy")
    other = make(folders / "made" / "other", version="2").path
    with pytest.raises(UserError, match="a_copy"):
        install(other)
    install(other, overwrite=True)
    assert find("brain").metadata.version == "2"
    assert [p.name for p in user_models_folder().iterdir()] == ["a_copy"]


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_removed_model_is_gone(folders, suffix):
    user_models_folder().mkdir(parents=True)
    path = make(user_models_folder() / f"brain{suffix}").path
    assert remove("brain") == path
    assert list(user_models_folder().iterdir()) == []


def test_damaged_model_can_be_removed_by_its_files_name(folders):
    installed = install(make(folders / "made" / "one").path).entry.path
    (installed / "configs" / "metadata.json").write_text("{")
    remove("brain")
    assert not installed.exists()


def test_only_the_users_models_are_removed(folders):
    make(folders / "shipped" / "brain")
    make(folders / "shared" / "liver", "liver")
    with pytest.raises(UserError, match="ships with segmamba"):
        remove("brain")
    with pytest.raises(UserError, match="shared folder"):
        remove("liver")
    with pytest.raises(UserError, match="no model is named"):
        remove("../shared/liver")
    assert len(entries()) == 2


def test_removing_a_link_leaves_what_it_points_to(folders):
    source = make(folders / "made" / "one").path
    user_models_folder().mkdir(parents=True)
    try:
        (user_models_folder() / "brain").symlink_to(source, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    remove("brain")
    assert Bundle(source).verify() == []
    assert entries() == []
    shutil.rmtree(source)
