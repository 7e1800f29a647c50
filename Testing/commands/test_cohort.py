"""``segmamba segment --cohort``: masks, what is kept between calls, what fails, and what is refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.metadata import Label


def voxels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def cohort(tmp_path, make_volume):
    """Three cases of one channel."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n, name in enumerate("abc"):
        sitk.WriteImage(make_volume((18, 17, 16), seed=n), str(folder / f"{name}_0000.nii.gz"))
    return folder


@pytest.fixture
def arguments(cohort, tmp_path, tiny_model):
    return ["segment", "--cohort", cohort, "-o", tmp_path / "out", "--model", tiny_model]


def test_masks_are_those_of_single_cases_and_everything_is_recorded(done, arguments, cohort, tmp_path, tiny_model):
    out = tmp_path / "out"
    found = json.loads(done(*arguments, "--json"))
    assert (found["done"], found["skipped"], found["failed"]) == (["a", "b", "c"], [], [])
    names = {"a.nii.gz", "b.nii.gz", "c.nii.gz", "run.json", "manifest.jsonl", "statistics.csv"}
    assert {path.name for path in out.iterdir()} == names
    for name in "abc":
        one = tmp_path / f"{name}.nii.gz"
        done("segment", cohort / f"{name}_0000.nii.gz", "-o", one, "--model", tiny_model)
        assert np.array_equal(voxels(one), voxels(out / one.name)) and voxels(one).any()
    manifest = lines(out / "manifest.jsonl")
    assert [(line["case"], line["status"], line["error"]) for line in manifest] == [(n, "done", None) for n in "abc"]
    with open(out / "statistics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["name"]) for row in rows] == [(n, label) for n in "abc" for label in ("Front", "Back")]
    for row in rows:
        count = int((voxels(out / f"{row['case']}.nii.gz") == int(row["value"])).sum())
        line = next(line for line in manifest if line["case"] == row["case"])
        assert int(row["voxels"]) == count == line["voxels"][row["name"]] and line["seconds"] > 0
        assert float(row["millilitres"]) == pytest.approx(line["volumes"][row["name"]], abs=1e-4)


def test_what_is_done_is_left_alone_and_what_changed_or_is_missing_is_done(done, arguments, cohort, tmp_path):
    out = tmp_path / "out"
    done(*arguments)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    assert json.loads(done(*arguments, "--json"))["skipped"] == ["a", "b", "c"]
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == before
    shutil.copy(cohort / "a_0000.nii.gz", cohort / "b_0000.nii.gz")
    (out / "c.nii.gz").unlink()
    with open(out / "manifest.jsonl", "a", encoding="utf-8") as file:
        file.write('{"case": "a", "status": "fai')  # what a machine wrote that went down
    found = json.loads(done(*arguments, "--json"))
    assert (found["done"], found["skipped"]) == (["b", "c"], ["a"])
    assert np.array_equal(voxels(out / "a.nii.gz"), voxels(out / "b.nii.gz"))
    assert [line["case"] for line in lines(out / "manifest.jsonl")] == ["a", "b", "c", "b", "c"]


def test_a_case_that_fails_is_kept_apart_and_tried_again(command, done, arguments, cohort, make_volume, tmp_path):
    (cohort / "b_0000.nii.gz").write_text("no image")
    out = tmp_path / "out"
    outcome = command(*arguments, "--json")
    assert outcome.status == 2
    assert outcome.err.startswith("segmamba: 1 of 3 cases failed (b); see ") and outcome.err.count("\n") == 1
    found = json.loads(outcome.out)
    assert found["done"] == ["a", "c"] and "b_0000.nii.gz" in found["failed"][0]["error"]
    (failure,) = lines(out / "failed.jsonl")
    assert (failure["case"], failure["status"], failure["kind"]) == ("b", "failed", "input")
    assert not (out / "b.nii.gz").exists() and (out / "statistics.csv").read_text().count("\nb,") == 0
    sitk.WriteImage(make_volume(), str(cohort / "b_0000.nii.gz"))
    assert json.loads(done(*arguments, "--json"))["done"] == ["b"]
    assert not (out / "failed.jsonl").exists() and (out / "b.nii.gz").exists()


def test_another_model_or_other_settings_are_refused_unless_all_is_replaced(done, refused, arguments, tmp_path):
    done(*arguments)
    refused([*arguments, "--overlap", "0.25"], "--overwrite", "overlap 0.5", "overlap 0.25", tmp_path / "out")
    refused([*arguments, "--tta"], "tta True")
    refused([*arguments, "--format", ".seg.nrrd"], "--overwrite")
    other = tmp_path / "other"
    shutil.copytree(arguments[-1], other)
    document = json.loads((other / "configs" / "metadata.json").read_text())
    document["name"], document["segmamba"]["patch"] = "other", [32, 32, 32]
    (other / "configs" / "metadata.json").write_text(json.dumps(document))
    refused([*arguments[:-1], other], "model tiny", "model other")
    found = json.loads(done(*arguments, "--overlap", "0.25", "--overwrite", "--json"))
    assert found["done"] == ["a", "b", "c"]
    assert len(lines(tmp_path / "out" / "manifest.jsonl")) == 3
    refused(arguments, "overlap 0.25")


def test_masks_that_others_made_are_not_replaced(done, refused, arguments, cohort, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.nii.gz").write_text("somebody's work")
    refused(arguments, tmp_path / "out" / "b.nii.gz", "--overwrite")
    done(*arguments, "--overwrite")
    assert voxels(tmp_path / "out" / "b.nii.gz").any()
    (tmp_path / "list.csv").write_text("case,image\na_0000,images/a_0000.nii.gz\n")
    arguments[2], arguments[4] = tmp_path / "list.csv", cohort
    refused([*arguments, "--overwrite"], cohort / "a_0000.nii.gz", "read as well")


def test_segmentations_for_slicer_and_a_table_elsewhere(done, arguments, tmp_path):
    done(*arguments, "--format", "seg.nrrd", "--statistics", tmp_path / "all.csv")
    mask = sitk.ReadImage(str(tmp_path / "out" / "a.seg.nrrd"))
    assert mask.GetMetaData("Segment0_Name") == "Front"
    assert (tmp_path / "all.csv").read_text().count("\n") == 7 and not (tmp_path / "out" / "statistics.csv").exists()


def test_channels_of_a_list_go_in_the_models_order(done, tmp_path, four_images, tiny_regions):
    done("segment", *four_images, "-o", tmp_path / "one.nii.gz", "--model", tiny_regions)
    header = ["fold", "flair", "t2", "t1gd", "t1", "case"]
    row = ["0", *(path.name for path in reversed(four_images)), "p1"]
    (tmp_path / "list.csv").write_text("\n".join(";".join(cells) for cells in (header, row)), encoding="utf-8-sig")
    done("segment", "--cohort", tmp_path / "list.csv", "-o", tmp_path / "out", "--model", tiny_regions)
    assert np.array_equal(voxels(tmp_path / "out" / "p1.nii.gz"), voxels(tmp_path / "one.nii.gz"))


def test_options_that_do_not_go_together_are_refused(refused, arguments, image, tmp_path, tiny_model):
    refused([*arguments, "--roi", "0:9,0:9,0:9"], "--roi")
    refused([*arguments, "--preview", tmp_path / "p.png"], "--preview")
    refused([*arguments, "--format", ".png"], "--format", ".seg.nrrd")
    refused([*arguments, "--overlap", "1"], "--overlap")
    refused(["segment", image, *arguments[1:]], image, "--cohort")
    one = ["segment", image, "-o", tmp_path / "m.nii.gz", "--model", tiny_model]
    for more in (["--scheduler", "tcp://localhost:1"], ["--format", ".nii"], ["--overwrite"]):
        refused([*one, *more], more[0], "--cohort")
    arguments[4] = image
    refused(arguments, image, "folder")


def test_an_interrupt_loses_the_current_case_alone(done, arguments, cohort, tmp_path, make_volume):
    # The last case is large, so that it is being computed when the interrupt comes.
    sitk.WriteImage(make_volume((80, 80, 80)), str(cohort / "c_0000.nii.gz"))
    out = tmp_path / "out"
    call = [sys.executable, "-m", "segmamba", *map(str, arguments), "--progress", "json"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = ""
        for told in process.stderr:
            event = json.loads(told)
            if event["message"].startswith("c (3 of 3): ") and event["fraction"] > 0.69:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130, rest
    assert rest.splitlines()[-1] == "segmamba: interrupted"
    names = {"a.nii.gz", "b.nii.gz", "manifest.jsonl", "run.json"}
    assert {path.name for path in out.iterdir()} == names
    sitk.WriteImage(make_volume(), str(cohort / "c_0000.nii.gz"))
    found = json.loads(done(*arguments, "--json"))
    assert (found["done"], found["skipped"]) == (["c"], ["a", "b"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed as on POSIX")
def test_after_a_kill_nothing_half_written_is_left(done, arguments, tmp_path):
    (tmp_path / "out").mkdir()
    call = [sys.executable, "-m", "segmamba", *map(str, arguments)]
    with subprocess.Popen(call) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out" / "a.nii.gz").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
    (tmp_path / "out" / f".{'0' * 32}.nii.gz").write_text("half a mask")
    done(*arguments)
    assert not [path.name for path in (tmp_path / "out").iterdir() if re.match(r"\.", path.name)]
    cases = {line["case"]: line for line in lines(tmp_path / "out" / "manifest.jsonl")}
    assert {name: line["status"] for name, line in cases.items()} == dict.fromkeys("abc", "done")


def test_cases_that_lack_a_channel_fail_and_others_go_on(command, tmp_path, make_volume, make_model):
    model = make_model(tmp_path / "two", ("T1", "T2"), (Label(1, "blob", (255, 0, 0)),))
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a_0000", "a_0001", "b_0000"):
        sitk.WriteImage(make_volume((16, 16, 16)), str(folder / f"{name}.nii.gz"))
    outcome = command("segment", "--cohort", folder, "-o", tmp_path / "out", "--model", model, "--json")
    found = json.loads(outcome.out)
    assert outcome.status == 2 and found["done"] == ["a"]
    assert found["failed"] == [
        {"case": "b", "error": "case b has 0000 where the model needs 0000 (T1), 0001 (T2); give these files"}
    ]
