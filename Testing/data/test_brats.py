"""BraTS folders: channels in SegMamba's order, regions by year, subjects by name."""

import pytest
from layouts import write_brats

from segmamba.data.datasets import read_dataset
from segmamba.errors import UserError


def test_brats_2023(tmp_path):
    dataset = read_dataset(write_brats(tmp_path / "set"))
    assert dataset.layout == "BraTS 2023"
    assert dataset.channels == ("t2w", "t2f", "t1n", "t1c") and dataset.modalities == ("MR",) * 4
    assert [path.name.split("-")[-1] for path in dataset.cases[0].images] == [
        f"{kind}.nii.gz" for kind in ("t2w", "t2f", "t1n", "t1c")
    ]
    assert {entry.name: entry.members for entry in dataset.labels} == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    assert [entry.value for entry in dataset.labels] == [2, 1, 3] and dataset.regions
    assert [case.subject for case in dataset.cases] == ["BraTS-GLI-00000", "BraTS-GLI-00000", "BraTS-GLI-00001"]


def test_brats_2021(tmp_path):
    dataset = read_dataset(write_brats(tmp_path / "set", 2021))
    assert dataset.channels == ("t2w", "t2f", "t1n", "t1c")
    assert [path.name.split("_")[-1] for path in dataset.cases[0].images] == [
        f"{kind}.nii.gz" for kind in ("t2", "flair", "t1", "t1ce")
    ]
    assert {entry.name: entry.members for entry in dataset.labels} == {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
    assert dataset.cases[1].subject == "BraTS2021_00001"


@pytest.mark.parametrize("kind", ["t2f", "seg"])
def test_a_missing_file_is_named(tmp_path, kind):
    folder = write_brats(tmp_path / "set")
    (folder / "BraTS-GLI-00000-001" / f"BraTS-GLI-00000-001-{kind}.nii.gz").unlink()
    with pytest.raises(UserError, match=rf"BraTS-GLI-00000-001 has no .*{kind}\.nii\.gz is missing"):
        read_dataset(folder)


def test_two_years_in_one_folder_are_refused(tmp_path):
    write_brats(tmp_path / "set")
    with pytest.raises(UserError, match="another year"):
        read_dataset(write_brats(tmp_path / "set", 2021))


def test_case_folders_that_hold_no_channels_are_no_brats(tmp_path):
    (tmp_path / "set" / "notes").mkdir(parents=True)
    (tmp_path / "set" / "notes" / "a_t1.nii.gz").touch()
    with pytest.raises(UserError, match=r"dataset\.json is missing"):
        read_dataset(tmp_path / "set")
