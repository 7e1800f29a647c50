"""Tests of the model package: writing, reading, verifying, and all that is refused."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from segmamba.bundle import Bundle, Channel, Label, Metadata, Normalisation, read_metadata, write_bundle
from segmamba.errors import UserError

METADATA = "configs/metadata.json"
WEIGHTS = "models/model.safetensors"


def make_metadata(**changes) -> Metadata:
    values = dict(
        name="tiny",
        version="1.2.0",
        description="One structure.",
        network="segmamba",
        channels=(Channel("T2w", "MR", Normalisation("zscore", "nonzero")),),
        labels=(Label(1, "Anterior", (255, 0, 10)),),
        patch=(32, 48, 64),
    )
    return Metadata(**{**values, **changes})


def make_weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "stem.weight": generator.standard_normal((4, 3)).astype(np.float32),
        "head.bias": np.array([1.0, -2.0]),
        "scale": np.float32(0.5),
        "count": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 2), np.float32),
    }


def make_bundle(path: Path, **changes) -> Bundle:
    return write_bundle(path, make_metadata(**changes), make_weights(), "# Tiny\n", "Free.\n")


def put(path: str, value):
    """An edit of the document that sets one field, or deletes it when value is ``...``."""
    steps = [int(s) if s.isdigit() else s for s in re.findall(r"\w+", path)]

    def edit(document):
        for step in steps[:-1]:
            document = document[step]
        if value is ...:
            del document[steps[-1]]
        else:
            document[steps[-1]] = value

    return edit


def edit_metadata(package: Path, edit) -> None:
    file = package / METADATA
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def zip_of(path: Path, members: dict[str, bytes], **kinds) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content, **kinds)
    return path


def members_of(package: Path, top: str = "") -> dict[str, bytes]:
    return {top + p.relative_to(package).as_posix(): p.read_bytes() for p in package.rglob("*") if p.is_file()}


def one_sentence(error: pytest.ExceptionInfo, *parts: object) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


# ---- writing and reading


@pytest.mark.parametrize("name", ["tiny", "tiny.zip"])
def test_package_is_read_as_it_was_written(tmp_path, name):
    written = make_bundle(tmp_path / name)
    bundle = Bundle(tmp_path / name)
    assert bundle.verify() == []
    assert bundle.metadata == written.metadata == read_metadata(tmp_path / name)
    assert replace(bundle.metadata, weights={}) == make_metadata()
    assert bundle.metadata.weights["dtype"] == "float16"
    assert bundle.files == ["LICENSE", METADATA, "docs/README.md", WEIGHTS]
    assert bundle.size_bytes > 0
    weights = bundle.weights()
    assert set(weights) == set(make_weights())
    for key, expected in make_weights().items():
        assert weights[key].shape == np.shape(expected)
        assert weights[key].flags.writeable
        np.testing.assert_allclose(weights[key], expected, rtol=1e-3)
    assert weights["stem.weight"].dtype == np.float16
    assert weights["count"].dtype == np.int64
    assert [p.name for p in tmp_path.iterdir()] == [name]  # no temporary file is left


def test_same_tensors_in_any_order_give_the_same_bytes(tmp_path):
    first = make_bundle(tmp_path / "a.zip")
    shuffled = dict(reversed(make_weights().items()))
    shuffled["stem.weight"] = np.asfortranarray(shuffled["stem.weight"])
    second = write_bundle(tmp_path / "b.zip", make_metadata(), shuffled, "# Tiny\n", "Free.\n")
    assert first.weights_sha256 == second.weights_sha256
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_float32_is_kept_exactly_when_asked_for(tmp_path):
    bundle = write_bundle(tmp_path / "m", make_metadata(), make_weights(), "r", "l", dtype="float32")
    np.testing.assert_array_equal(bundle.weights()["stem.weight"], make_weights()["stem.weight"])
    assert bundle.metadata.weights["dtype"] == "float32"


def test_tensor_beyond_float16_stays_float32(tmp_path):
    weights = make_weights() | {"large": np.array([1e5, 1.0], np.float32)}
    bundle = write_bundle(tmp_path / "m", make_metadata(), weights, "r", "l")
    assert bundle.metadata.weights["dtype"] == "mixed"
    np.testing.assert_array_equal(bundle.weights()["large"], weights["large"])
    assert bundle.weights()["head.bias"].dtype == np.float16


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    with pytest.raises(UserError, match=r"'bad' holds NaN or infinity"):
        write_bundle(tmp_path / "m", make_metadata(), {"bad": np.array([value])}, "r", "l")
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_could_not_be_read_back_are_not_written(tmp_path):
    with pytest.raises(UserError, match=r"model 'tiny'.*segmamba\.orientation"):
        make_bundle(tmp_path / "m", orientation="XYZ")
    assert list(tmp_path.iterdir()) == []


def test_extra_files_are_added_and_cannot_leave_the_package(tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("text")
    extra = {"docs/more.txt": source, "configs/inference.json": b"{}"}
    bundle = write_bundle(tmp_path / "m", make_metadata(), make_weights(), "r", "l", extra)
    assert bundle.read("docs/more.txt") == b"text"
    assert bundle.read("configs/inference.json") == b"{}"
    for name in ("../out.txt", "/out.txt", METADATA, "a\\b"):
        with pytest.raises(UserError, match="cannot be added"):
            write_bundle(tmp_path / "n", make_metadata(), make_weights(), "r", "l", {name: source})
    with pytest.raises(UserError, match=r"gone\.txt does not exist"):
        write_bundle(tmp_path / "n", make_metadata(), make_weights(), "r", "l", {"x": tmp_path / "gone.txt"})


@pytest.mark.parametrize("name", ["m", "m.zip"])
def test_existing_package_is_replaced_only_when_asked(tmp_path, name):
    make_bundle(tmp_path / name)
    with pytest.raises(UserError, match="exists already"):
        make_bundle(tmp_path / name, version="2")
    assert read_metadata(tmp_path / name).version == "1.2.0"
    write_bundle(tmp_path / name, make_metadata(version="2"), make_weights(), "r", "l", overwrite=True)
    assert read_metadata(tmp_path / name).version == "2"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_overwriting_never_destroys_what_is_no_package(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    zip_of(tmp_path / "photos.zip", {"a.jpg": b"x"})
    for name in ("thesis", "photos.zip"):
        with pytest.raises(UserError, match="is no model package"):
            write_bundle(tmp_path / name, make_metadata(), make_weights(), "r", "l", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_empty_folder_is_filled_and_missing_parent_named(tmp_path):
    (tmp_path / "m").mkdir()
    assert make_bundle(tmp_path / "m").verify() == []
    with pytest.raises(UserError, match=r"folder .*nowhere does not exist"):
        make_bundle(tmp_path / "nowhere" / "m")


@pytest.mark.skipif(os.name == "nt", reason="file modes of POSIX")
def test_package_is_readable_by_those_the_umask_allows(tmp_path):
    make_bundle(tmp_path / "m")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_failed_write_leaves_the_old_package_and_no_litter(tmp_path):
    make_bundle(tmp_path / "m")
    blocker = {"LICENSE/more.txt": b"a file where another file's folder must be"}
    with pytest.raises(UserError, match="cannot be written"):
        write_bundle(tmp_path / "m", make_metadata(version="2"), make_weights(), "r", "l", blocker, overwrite=True)
    assert read_metadata(tmp_path / "m").version == "1.2.0"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


# ---- what is refused on reading


def test_zip_may_have_one_top_folder_or_none_or_macos_litter(tmp_path):
    package = make_bundle(tmp_path / "m").path
    for number, members in enumerate(
        (members_of(package), members_of(package, "top/"), members_of(package, "top/") | {"__MACOSX/top/._x": b"x"})
    ):
        path = zip_of(tmp_path / f"{number}.zip", members, compress_type=zipfile.ZIP_DEFLATED)
        assert Bundle(path).verify() == []


@pytest.mark.parametrize("name", ["../evil", "top/../../evil", "/evil", "C:/evil", "top\\evil"])
def test_zip_with_unsafe_names_is_refused(tmp_path, name):
    members = members_of(make_bundle(tmp_path / "m").path) | {name: b"x"}
    with pytest.raises(UserError, match="unsafe file name"):
        Bundle(zip_of(tmp_path / "z.zip", members))


def test_zip_with_a_link_is_refused(tmp_path):
    path = zip_of(tmp_path / "z.zip", members_of(make_bundle(tmp_path / "m").path))
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("models/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        Bundle(path)


def test_zip_that_unpacks_to_far_too_much_is_refused(tmp_path):
    members = members_of(make_bundle(tmp_path / "m").path)
    members[METADATA] = b" " * (17 * 2**20)
    path = zip_of(tmp_path / "z.zip", members, compress_type=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(UserError, match="larger than the 16 MiB"):
        Bundle(path)


def test_damaged_zip_is_refused(tmp_path):
    whole = make_bundle(tmp_path / "m.zip").path.read_bytes()
    for number, content in enumerate((whole[:-40], whole[: len(whole) // 2], b"", b"hello")):
        path = tmp_path / f"cut{number}.zip"
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged zip") as error:
            Bundle(path)
        one_sentence(error, path)


def test_flipped_bytes_in_a_zip_are_found(tmp_path):
    path = make_bundle(tmp_path / "m.zip").path
    content = bytearray(path.read_bytes())
    start = content.index(b"stem.weight")
    content[start] ^= 1
    path.write_bytes(content)
    bundle = Bundle(path)
    assert len(bundle.verify()) == 1
    with pytest.raises(UserError, match="damaged") as error:
        bundle.weights()
    one_sentence(error, path, WEIGHTS)


def test_damaged_json_is_refused(tmp_path):
    package = make_bundle(tmp_path / "m").path
    text = (package / METADATA).read_text()
    for content in (text[:100], "", "\x00", "[" * 100_000, text.replace('"regions": false', '"regions": NaN')):
        (package / METADATA).write_text(content)
        with pytest.raises(UserError, match=r"metadata\.json is damaged") as error:
            Bundle(package)
        one_sentence(error, package)
    (package / METADATA).write_text("[1]")
    with pytest.raises(UserError, match="not a JSON object"):
        Bundle(package)


@pytest.mark.parametrize("name", [WEIGHTS, "docs/README.md", "LICENSE"])
def test_missing_file_is_named_by_verify(tmp_path, name):
    bundle = make_bundle(tmp_path / "m")
    (bundle.path / name).unlink()
    problems = Bundle(bundle.path).verify()
    assert len(problems) == 1 and name in problems[0] and str(bundle.path) in problems[0]


def test_missing_weights_are_refused_on_loading(tmp_path):
    bundle = make_bundle(tmp_path / "m")
    (bundle.path / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"models/model\.safetensors is missing"):
        Bundle(bundle.path).weights()


def test_other_weights_than_the_metadata_name_are_never_loaded(tmp_path):
    package = make_bundle(tmp_path / "m").path
    (package / WEIGHTS).write_bytes(save({"stem.weight": np.zeros((4, 3), np.float16)}))
    with pytest.raises(UserError, match="SHA-256 differs") as error:
        Bundle(package).weights()
    one_sentence(error, package / WEIGHTS)
    assert "SHA-256" in Bundle(package).verify()[0]


def header(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "cut short"),
        (b"\xff" * 20, "cut short"),
        (header("{not json"), "header is damaged"),
        (header("[]"), "header is damaged"),
        (header('{"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}', b"\0\0"), "does not fit"),
        (header('{"a": {"dtype": "F16", "shape": [3], "data_offsets": [0, 4]}}', b"\0" * 4), "does not fit"),
        (header('{"a": {"dtype": "F16", "shape": [2], "data_offsets": [0]}}', b"\0" * 4), "does not fit"),
        (header('{"a": {"dtype": "F16", "shape": ["2"], "data_offsets": [0, 4]}}', b"\0" * 4), "does not fit"),
        (header('{"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}', b"\0" * 4), "type BF16"),
    ],
)
def test_invalid_safetensors_are_refused_though_the_hash_fits(tmp_path, content, hint):
    package = make_bundle(tmp_path / "m").path
    (package / WEIGHTS).write_bytes(content)
    edit_metadata(package, put("segmamba.weights.sha256", hashlib.sha256(content).hexdigest()))
    with pytest.raises(UserError, match=hint) as error:
        Bundle(package).weights()
    one_sentence(error, package / WEIGHTS)
    assert Bundle(package).verify() == [str(error.value)]


def test_package_without_a_stated_hash_is_not_loaded(tmp_path):
    package = make_bundle(tmp_path / "m").path
    edit_metadata(package, put("segmamba.weights", ...))
    assert "segmamba.weights is missing" in Bundle(package).verify()[0]
    with pytest.raises(UserError, match=r"segmamba\.weights is missing"):
        Bundle(package).weights()


def test_monai_bundle_of_another_program_is_refused(tmp_path):
    package = make_bundle(tmp_path / "m").path
    edit_metadata(package, put("segmamba", ...))
    with pytest.raises(UserError, match=r"MONAI bundle made by another program.*nothing.*executed"):
        Bundle(package)


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_named_as_such_and_never_opened(tmp_path):
    evil = pickle.dumps(Bomb(tmp_path / "executed"))
    (tmp_path / "old.pth").write_bytes(evil)
    (tmp_path / "renamed.dat").write_bytes(evil)
    zip_of(tmp_path / "new.pt", {"archive/data.pkl": evil, "archive/version": b"3"})
    (tmp_path / "folder" / "models").mkdir(parents=True)
    (tmp_path / "folder" / "models" / "model.pt").write_bytes(evil)
    for name in ("old.pth", "renamed.dat", "new.pt", "folder"):
        with pytest.raises(UserError, match="never opened") as error:
            Bundle(tmp_path / name)
        one_sentence(error, tmp_path / name, "import-official")
    assert not (tmp_path / "executed").exists()


def test_anything_else_is_called_no_package(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "w.safetensors").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    zip_of(tmp_path / "other.zip", {"a.txt": b"x"})
    for name, hint in {
        "notes.txt": "not a model package",
        "w.safetensors": "weights alone",
        "empty": "metadata.json is missing",
        "other.zip": "metadata.json is missing",
        "gone": "does not exist",
        "n" * 300: "does not exist",
        "a\0b": "does not exist",
    }.items():
        with pytest.raises(UserError, match=hint) as error:
            Bundle(tmp_path / name)
        one_sentence(error, tmp_path / name)


def test_metadata_and_catalogue_need_the_standard_library_alone(tmp_path):
    package = make_bundle(tmp_path / "m.zip").path
    # platformdirs is blocked too, as in a 3D Slicer without the packages.
    program = (
        "import sys; sys.modules['platformdirs'] = None\n"
        "import segmamba.bundle, segmamba.models\n"
        f"bundle = segmamba.bundle.Bundle({str(package)!r}); assert bundle.verify() == []\n"
        "segmamba.models.entries()\n"
        "print([n for n in ('torch', 'numpy', 'msgspec', 'SimpleITK', 'safetensors') if n in sys.modules])"
    )
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "Training"),
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
