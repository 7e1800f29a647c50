"""``segmamba evaluate``: masks against references, as a table, a summary, a page and text."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.bundle import Bundle


def save(values, path, spacing=(1, 2, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.asarray(values, np.uint8))
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def block(*slices):
    """Labels in boxes of 8 x 8 x 8 voxels: (value, start, stop) along k."""
    values = np.zeros((8, 8, 8), np.uint8)
    for value, start, stop in slices:
        values[start:stop] = value
    return values


@pytest.fixture
def folders(tmp_path):
    """Two cases: one half right with a label missed, one with a label that is in neither mask."""
    save(block((1, 0, 4)), tmp_path / "masks" / "one.nii.gz")
    save(block((1, 2, 6), (2, 6, 8)), tmp_path / "set" / "labelsTr" / "one.nii.gz")
    save(block((1, 0, 2)), tmp_path / "masks" / "two.nrrd")
    save(block((1, 0, 2)), tmp_path / "set" / "labelsTr" / "two.nii.gz")
    save(block((1, 0, 2)), tmp_path / "set" / "labelsTr" / "not_predicted.nii.gz")
    return tmp_path / "masks", tmp_path / "set" / "labelsTr"


def describe(folder):
    """A dataset.json beside the references."""
    for name in ("one", "two", "not_predicted"):
        save(block(), folder / "imagesTr" / f"{name}_0000.nii.gz")
    about = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "head": 1, "body": 2}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))


def test_summary_and_table(done, tmp_path, folders):
    describe(tmp_path / "set")
    found = json.loads(done("evaluate", *folders, "-o", tmp_path / "new" / "report", "--json"))
    assert found == json.loads((tmp_path / "new" / "report" / "summary.json").read_text())
    assert found["cases"] == 2
    # head: 2 * 2 / (4 + 4) and 1; body: missed in the one, in neither mask of the other.
    keys = ("dice", "measured", "misses", "extra", "both_empty", "hd95_not_measurable")
    head, body = found["labels"]["head"], found["labels"]["body"]
    assert [head[key] for key in keys] == [0.75, 2, 0, 0, 0, 0]
    assert [body[key] for key in keys] == [0.0, 1, 1, 0, 1, 1]
    # Slabs, two slices of 5 mm from each other in the one case: its 95th percentile is the 10 mm of the outer slices.
    assert head["hd95_mm"] == 5 and head["nsd_tolerance_mm"] == 1 and body["hd95_mm"] is None
    assert found["without_prediction"] == 1
    assert found["mean_dice"] == 0.375 and "left out" in found["empty"]
    with open(tmp_path / "new" / "report" / "cases.csv", newline="", encoding="utf-8") as file:
        rows = {(row["case"], row["label"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4
    assert float(rows["one", "head"]["dice"]) == 0.5 and rows["two", "body"]["dice"] == ""
    slab = 64 * 10 / 1000  # ml in one layer along k
    assert float(rows["one", "head"]["predicted_ml"]) == pytest.approx(4 * slab)
    assert float(rows["one", "body"]["difference_ml"]) == pytest.approx(-2 * slab)


def test_text_has_a_line_a_label(done, tmp_path, folders):
    describe(tmp_path / "set")
    lines = done("evaluate", *folders, "-o", tmp_path / "report").splitlines()
    # Surface Dice of the one: of 64 + 28 + 28 + 64 voxels 28 of one slice and 28 + 12 of the next are within 1 mm.
    nsd = (68 / 184 + 1) / 2
    assert [line.split() for line in lines[:3]] == [
        ["label", "Dice", "95%CI", "NSD", "HD95mm", "unmeasured", "cases", "misses", "extra"],
        ["head", "0.7500", "0.500-1.000", f"{nsd:.4f}", "5.00", "0", "2", "0", "0"],
        ["body", "0.0000", "-", "0.0000", "-", "1", "1", "1", "0"],
    ]
    assert lines[3].startswith("Empty masks (skip): A case is left out")
    assert lines[4:] == [
        "1 reference has no prediction and is in no mean.",
        f"{tmp_path / 'report'}: cases.csv, summary.json, report.html",
    ]


def test_labels_may_be_named_by_another_data_set(done, tmp_path, folders):
    describe(tmp_path / "named")
    save(block(), tmp_path / "named" / "labelsTr" / "one.nii.gz")
    for name in ("two", "not_predicted"):
        save(block(), tmp_path / "named" / "labelsTr" / f"{name}.nii.gz")
    out = done("evaluate", *folders, "-o", tmp_path / "report", "--dataset", tmp_path / "named", "--json")
    assert set(json.loads(out)["labels"]) == {"head", "body"}


def test_without_names_every_value_is_a_label(done, tmp_path, folders):
    found = json.loads(done("evaluate", *folders, "-o", tmp_path / "report", "--json"))
    assert set(found["labels"]) == {"1", "2"} and found["labels"]["1"]["dice"] == 0.75


def test_two_files_are_one_case(done, tmp_path, folders):
    masks, references = folders
    out = done("evaluate", masks / "one.nii.gz", references / "one.nii.gz", "-o", tmp_path / "report", "--json")
    assert json.loads(out)["cases"] == 1


def test_a_mask_against_itself_is_perfect(done, tmp_path, image, tiny_model):
    done("segment", image, "-o", tmp_path / "mask.seg.nrrd", "--model", tiny_model)
    done("segment", image, "-o", tmp_path / "mask.nii.gz", "--model", tiny_model)
    out = done("evaluate", tmp_path / "mask.seg.nrrd", tmp_path / "mask.nii.gz", "-o", tmp_path / "report", "--json")
    assert {label["dice"] for label in json.loads(out)["labels"].values()} == {1.0}


def test_masks_that_are_empty_everywhere_have_no_dice(done, tmp_path):
    mask = save(block(), tmp_path / "a.nii.gz")
    found = json.loads(done("evaluate", mask, mask, "-o", tmp_path / "report", "--json"))
    assert found["mean_dice"] is None and found["labels"] == {}
    assert (tmp_path / "report" / "cases.csv").read_text().startswith("case,label,dice")


def test_nested_regions_count_what_is_painted_over_them(done, tmp_path):
    (tmp_path / "set").mkdir()
    about = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]},
        "regions_class_order": [2, 1, 3],
        "file_ending": ".nii.gz",
    }
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(about))
    save(block(), tmp_path / "set" / "imagesTr" / "a_0000.nii.gz")
    truth = save(block((2, 0, 6), (1, 2, 4), (3, 3, 4)), tmp_path / "set" / "labelsTr" / "a.nii.gz")
    mask = save(block((2, 0, 6), (1, 2, 5)), tmp_path / "a.nii.gz")
    found = json.loads(done("evaluate", mask, truth, "-o", tmp_path / "report", "--json"))
    dice = {name: label["dice"] for name, label in found["labels"].items()}
    assert dice == {"WT": 1.0, "TC": pytest.approx(2 * 2 / 5), "ET": 0.0}


def test_a_model_s_overlapping_regions_are_evaluated_by_name(done, refused, tmp_path, four_images, tiny_regions):
    (tmp_path / "set").mkdir()
    about = {"labels": {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}, "regions_class_order": [2, 1, 3]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(about))
    mask = tmp_path / "mask.seg.nrrd"
    done("segment", *four_images, "-o", mask, "--model", tiny_regions)
    image = sitk.ReadImage(str(mask))
    assert image.GetNumberOfComponentsPerPixel() > 1
    reference = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    reference.CopyInformation(image)
    reference[3:9, 3:9, 3:9] = 2
    sitk.WriteImage(reference, str(tmp_path / "reference.nrrd"))
    files = [mask, tmp_path / "reference.nrrd", "-o", tmp_path / "report"]
    found = json.loads(done("evaluate", *files, "--dataset", tmp_path / "set", "--json"))
    assert set(found["labels"]) == {"WT", "TC", "ET"} and found["labels"]["WT"]["dice"] > 0
    refused(["evaluate", *files[:2], "-o", tmp_path / "more"], mask, "--dataset")


def test_a_description_without_images_names_the_labels(done, tmp_path, folders):
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "head": 1, "body": 2}}))
    found = json.loads(done("evaluate", *folders, "-o", tmp_path / "report", "--json"))
    assert set(found["labels"]) == {"head", "body"}


def test_a_report_that_cannot_be_written_is_refused_before_any_mask_is_read(refused, tmp_path, folders):
    for mask in folders[0].iterdir():
        mask.write_bytes(b"no image")
    (tmp_path / "file").touch()
    refused(["evaluate", *folders, "-o", tmp_path / "file" / "report"], tmp_path / "file" / "report", "-o")


def test_the_labels_of_a_model_name_what_is_compared(tiny_model, image, done, tmp_path):
    mask = tmp_path / "mask.seg.nrrd"
    done("segment", image, "-o", mask, "--model", tiny_model)
    done("evaluate", mask, mask, "-o", tmp_path / "report", "--model", tiny_model)
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert list(summary["labels"]) == list(Bundle(tiny_model).metadata.names.values())


def test_a_page_shows_the_worst_cases_over_their_images(done, tmp_path, folders):
    for name in ("one", "two"):
        save(np.arange(512).reshape(8, 8, 8) % 251, tmp_path / "images" / f"{name}_0000.nii.gz")
    folder = tmp_path / "report"
    out = done("evaluate", *folders, "-o", folder, "--images", tmp_path / "images")
    assert sorted(path.name for path in folder.iterdir()) == ["cases.csv", "report.html", "summary.json"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2 and "Not a medical device" in page and "report.html" in out
    done("evaluate", *folders, "-o", folder, "--no-html")
    assert sorted(path.name for path in folder.iterdir()) == ["cases.csv", "summary.json"]


def test_policy_and_tolerances_are_options(done, tmp_path, folders):
    describe(tmp_path / "set")
    settings = ["--empty", "brats", "--nsd-tolerance", "5", "--nsd-tolerance", "body=0.5", "--no-html", "--json"]
    found = json.loads(done("evaluate", *folders, "-o", tmp_path / "report", *settings))
    head, body = found["labels"]["head"], found["labels"]["body"]
    assert (head["nsd_tolerance_mm"], body["nsd_tolerance_mm"]) == (5, 0.5)
    assert body["dice"] == 0.5 and body["hd95_mm"] == pytest.approx(373.13 / 2)
    assert found["empty_policy"] == "brats" and "373.13 mm" in found["empty"]


def test_progress_is_shown_where_it_is_asked_for(command, tmp_path, folders):
    outcome = command("evaluate", *folders, "-o", tmp_path / "report", "--progress", "json")
    events = [json.loads(line) for line in outcome.err.splitlines()]
    fractions = [event["fraction"] for event in events]
    assert outcome.status == 0 and fractions == sorted(fractions) and fractions[-1] == 1
    assert {"case 1 of 2", "picture 1 of 2", "done"} <= {event["message"] for event in events}


@pytest.mark.parametrize("value", ["wide", "-1", "nan", "inf", "", "head=", "head=x", "=1mm"])
def test_a_tolerance_that_is_no_length_is_refused(refused, tmp_path, folders, value):
    refused(["evaluate", *folders, "-o", tmp_path / "report", f"--nsd-tolerance={value}"], "--nsd-tolerance", value)


def test_options_that_fit_nothing_are_refused_before_anything_is_written(refused, tmp_path, folders):
    report = ["-o", tmp_path / "report"]
    refused(["evaluate", *folders, *report, "--nsd-tolerance", "tumour=2"], "--nsd-tolerance tumour", "there are 1, 2")
    refused(["evaluate", *folders, *report, "--empty", "zero"], "--empty", "skip")
    refused(["evaluate", *folders, *report, "--images", tmp_path / "gone"], "--images", tmp_path / "gone")
    refused(["evaluate", *folders, *report, "--images", folders[0], "--no-html"], "--images", "--no-html")
    (tmp_path / "images").mkdir()
    refused(["evaluate", *folders, *report, "--images", tmp_path / "images"], "--images", "no image one")
    for name in ("one", "two"):
        (tmp_path / "images" / f"{name}.nii.gz").write_bytes(b"no image")
    refused(["evaluate", *folders, *report, "--images", tmp_path / "images"], tmp_path / "images" / "one.nii.gz")
