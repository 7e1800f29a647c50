"""``segmamba models``: listing, showing, verifying, installing and removing packages."""

import json
import shutil

import pytest

from segmamba.settings import user_models_folder


@pytest.fixture
def copy(tmp_path, tiny_model):
    """A package of one's own to damage."""
    return shutil.copytree(tiny_model, tmp_path / "tiny")


@pytest.fixture
def archive(tmp_path, tiny_model):
    """The package as a zip."""
    return shutil.make_archive(str(tmp_path / "packed"), "zip", tiny_model.parent, "tiny")


def lines(text, name):
    return [line for line in text.splitlines() if line.split()[0] == name]


def test_the_list_has_a_model_a_line_with_its_name_first(done, tiny_model, tiny_regions):
    done("models", "install", tiny_model)
    done("models", "install", tiny_regions)
    text = done("models", "list")
    (line,) = lines(text, "tiny")
    assert line.split() == ["tiny", "1.2.0", "user", "lightmunet", "T1", "Front,Back", "CC0-1.0"]
    (line,) = lines(text, "tiny-regions")
    assert line.split()[4:6] == ["T1,T1Gd,T2,FLAIR", "WT,TC,ET"]


def test_the_list_as_json_has_the_promised_keys(done, copy):
    done("models", "install", copy)
    (row,) = [row for row in json.loads(done("models", "list", "--json")) if row["name"] == "tiny"]
    assert {"name", "version", "source", "network", "channels", "labels", "licence", "path"} <= set(row)
    assert (row["version"], row["source"], row["network"], row["licence"]) == ("1.2.0", "user", "lightmunet", "CC0-1.0")
    assert (row["channels"], row["labels"], row["problem"]) == (["T1"], ["Front", "Back"], None)
    assert row["path"] == str(user_models_folder() / "tiny")


def test_a_damaged_package_is_listed_with_its_problem_and_every_key(done, copy):
    done("models", "install", copy)
    (user_models_folder() / "tiny" / "configs" / "metadata.json").write_text("{")
    (line,) = lines(done("models", "list"), "tiny")
    assert "damaged" in line
    (row,) = [row for row in json.loads(done("models", "list", "--json")) if row["name"] == "tiny"]
    assert row["version"] is row["labels"] is None and "damaged" in row["problem"]


def test_show_says_what_goes_in_and_what_comes_out(done, tiny_regions):
    text = done("models", "show", tiny_regions)
    for words in ("tiny-regions 1.2.0", "T1Gd (MR)", "region 3", "ET", "16 x 16 x 16", "not measured", "CC0-1.0"):
        assert words in text
    found = json.loads(done("models", "show", tiny_regions, "--json"))
    assert found["path"] == str(tiny_regions) and found["segmamba"]["network"] == "lightmunet"


def test_a_sound_package_is_good(done, tiny_model, archive):
    assert done("models", "verify", tiny_model).split() == ["tiny", "good"]
    assert json.loads(done("models", "verify", archive, "--json")) == {"tiny": []}


def test_a_flipped_byte_is_found(command, copy):
    weights = copy / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    outcome = command("models", "verify", copy)
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert str(weights) in outcome.err and "SHA-256" in outcome.err


def test_all_models_are_verified_at_once(command, done, tiny_model, tiny_regions):
    done("models", "install", tiny_model)
    done("models", "install", tiny_regions)
    assert {"tiny", "tiny-regions"} <= {line.split()[0] for line in done("models", "verify").splitlines()}
    (user_models_folder() / "tiny" / "models" / "model.safetensors").write_bytes(b"x")
    outcome = command("models", "verify", "--json")
    assert outcome.status == 2 and "tiny: " in outcome.err and outcome.err.count("\n") == 1
    found = json.loads(outcome.out)
    assert found["tiny"] and found["tiny-regions"] == []


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_installed_models_are_found_and_removed(done, refused, tiny_model, archive, form):
    text = done("models", "install", tiny_model if form == "folder" else archive)
    assert "'tiny' is installed" in text and str(user_models_folder() / "tiny") in text
    assert done("models", "verify", "tiny").split() == ["tiny", "good"]
    assert "already" in done("models", "install", tiny_model)
    assert done("models", "remove", "tiny") == f"{user_models_folder() / 'tiny'} removed\n"
    assert lines(done("models", "list"), "tiny") == []
    refused(["models", "remove", "tiny"], "'tiny'")


def test_a_model_can_be_installed_under_another_name(done, tiny_model):
    found = json.loads(done("models", "install", tiny_model, "--name", "mine", "--json"))
    assert (found["name"], found["already"]) == ("mine", False)
    assert lines(done("models", "list"), "mine")
    assert json.loads(done("models", "remove", "mine", "--json")) == {"removed": found["path"]}


def test_another_model_of_the_same_name_needs_overwrite(done, refused, tmp_path, tiny_model, tiny_regions, make_model):
    done("models", "install", tiny_model)
    from segmamba.bundle import Label

    other = make_model(tmp_path / "tiny", ("CT",), (Label(1, "Liver", (1, 2, 3)),))
    refused(["models", "install", other], other, "--overwrite", "--name")
    done("models", "install", other, "--overwrite")
    assert lines(done("models", "list"), "tiny")[0].split()[4] == "CT"


@pytest.mark.parametrize("action", ["show", "verify", "remove"])
def test_an_unknown_name_is_refused_with_the_close_ones(done, refused, tiny_model, action):
    done("models", "install", tiny_model, "--name", "hippo-campus")
    refused(["models", action, "hippocampos"], "'hippocampos'", "hippo-campus")


def test_what_is_no_package_is_not_installed(refused, tmp_path, copy):
    refused(["models", "install", tmp_path / "gone.zip"], tmp_path / "gone.zip", "does not exist")
    (tmp_path / "text.zip").write_text("no zip")
    refused(["models", "install", tmp_path / "text.zip"], tmp_path / "text.zip", "zip")
    (copy / "models" / "model.safetensors").write_bytes(b"x")
    refused(["models", "install", copy], "model.safetensors")
    (tmp_path / "model.pt").write_bytes(b"\x80\x02.")
    refused(["models", "install", tmp_path / "model.pt"], "model.pt", "pickle")
