"""``segmamba bench``, at sizes that say nothing of speed."""

import json

import pytest
import torch

PNG = b"\x89PNG\r\n\x1a\n"


def test_scan_writes_a_table_a_document_and_a_picture(done, tmp_path):
    out = done(
        "bench", "scan", "--quick", "--only", "error-output", "chunked-forward", "-o", tmp_path, "--repeats", "1"
    )
    lines = out.splitlines()
    assert lines[0].split() == ["row", "measured", "must", "goal", "verdict"]
    assert "relative error against float64, output" in lines[1]
    assert lines[-3:] == [str(tmp_path / f"scan-quick.{suffix}") for suffix in ("md", "json", "png")]
    text = (tmp_path / "scan-quick.md").read_text()
    assert "| numba |" in text and "at most 1.0e-06" in text and "no figure here says anything of speed" in text
    document = json.loads((tmp_path / "scan-quick.json").read_text())
    assert [row["name"] for row in document["rows"]] == ["error-output", "chunked-forward"]
    assert document["rows"][0]["value"] < 1e-6 and document["machine"]["packages"]["torch"]
    assert (tmp_path / "scan-quick.png").read_bytes().startswith(PNG)


def test_a_part_is_not_written_where_nobody_asked_for_it(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = json.loads(done("bench", "scan", "--quick", "--only", "error-output", "--json"))
    assert document["rows"][0]["measured"] and list(tmp_path.iterdir()) == []


def test_networks_are_counted_and_measured_and_a_failing_one_is_a_row(done, tmp_path):
    out = done(
        "bench", "networks", "--quick", "--network", "lightmunet", "dynunet", "--shape", "1x32:2",
        "--precision", "bf16", "--layout", "last", "--threads", "1", "-o", tmp_path,
    )  # fmt: skip
    assert "LightM-UNet" in out and "no figure for DynUNet (nnU-Net), 1x32" in out
    assert "116 times fewer" in out and "Does not bear out" in out
    document = json.loads((tmp_path / "networks-quick.json").read_text())
    assert document["counts"]["lightmunet"]["1x32"]["scan_elements"] > 0
    measured = {(r["network"], r["way"]): r for r in document["measurements"]}
    assert len(measured) == 4 and measured["lightmunet", "training"]["seconds"] > 0
    assert measured["lightmunet", "training"]["peak"] > measured["lightmunet", "forward"]["peak"] > 0
    assert measured["dynunet", "forward"]["problem"].startswith("failed: ValueError")
    text = (tmp_path / "networks-quick.md").read_text()
    for words in ("| LightM-UNet |", "Missing figures", "3D UX-Net (kernel 7) | 53.0 | 639.4", "arXiv:2403.05246"):
        assert words in text
    assert (tmp_path / "networks-quick.png").read_bytes().startswith(PNG)


def test_counting_alone_measures_nothing(done, tmp_path):
    counted = ["--network", "segresnet16", "unetr", "--shape", "1x32:2", "--count-only"]
    document = json.loads(done("bench", "networks", *counted, "--json", "-o", tmp_path))
    assert document["measurements"] == [] and document["counts"]["segresnet16"]["1x32"]["macs"] > 1e9
    assert (tmp_path / "networks.png").read_bytes().startswith(PNG)


def test_a_case_is_measured_through_the_worker_and_by_the_command(done, tiny_regions, tmp_path):
    out = done("bench", "segment", "--quick", "--model", tiny_regions, "--threads", "1", "-o", tmp_path)
    assert "worker, second job" in out and "`segmamba segment`" in out
    assert out.splitlines()[-3:] == [str(tmp_path / f"segment-quick.{suffix}") for suffix in ("md", "json", "png")]
    document = json.loads((tmp_path / "segment-quick.json").read_text())
    first, second, command = document["measurements"]
    assert first["loaded"] and not second["loaded"] and second["seconds"] < first["seconds"]
    for job in (first, second):
        assert 0 < job["compute_seconds"] < job["worker_seconds"] < job["seconds"] and job["windows"] > 1
        assert job["rest"] == pytest.approx(job["seconds"] - job["compute_seconds"])
    assert command["seconds"] > command["case_seconds"] > 0 and document["problems"] == []
    assert [row["verdict"] for row in document["rows"]] == ["", ""]  # of small sizes none
    text = (tmp_path / "segment-quick.md").read_text()
    assert "| worker, second job: all that is in memory |" in text and "20 x 24 x 20 voxels of 4 x 4 x 4 mm" in text
    assert (tmp_path / "segment-quick.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["segment", "--repeats", "0"], ["--repeats"]),
        (["segment", "--model", "nothing"], ["nothing"]),
        (["segment", "--model", "hippocampus-lightmunet"], ["--model hippocampus-lightmunet", "T1Gd"]),
        (["scan", "--threads", "0"], ["--threads", "0"]),
        (["scan", "--threads", "9999"], ["--threads", "9999"]),
        (["scan", "--repeats", "0"], ["--repeats"]),
        (["scan", "--only", "nonsense"], ["--only nonsense", "memory-training"]),
        (["scan", "--yardstick", "none.so"], ["--yardstick none.so"]),
        (["scan", "--device", "tpu"], ["--device", "'tpu'"]),
        (["networks", "--shape", "128"], ["--shape 128", "4x128"]),
        (["networks", "--network", "unet"], ["--network", "'unet'", "segmamba"]),
        (["networks", "--model", "phantom-lightmunet"], ["--model phantom-lightmunet", "lightmunet"]),
        (["networks", "--steps", "-1"], ["--steps"]),
        (["networks", "--model", "nothing"], ["nothing"]),
        ([], ["ACTION"]),
    ],
)
def test_wrong_options_are_refused(refused, arguments, words):
    refused(["bench", *arguments], *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
@pytest.mark.parametrize("action", ["scan", "networks", "segment"])
def test_a_card_that_is_not_here_is_refused(refused, action):
    refused(["bench", action, "--device", "cuda"], "--device cuda", "cpu")


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(refused, tmp_path):
    (tmp_path / "file").write_text("")
    refused(["bench", "scan", "--quick", "-o", tmp_path / "file"], "-o", "file")
