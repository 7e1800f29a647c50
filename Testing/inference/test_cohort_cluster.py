"""Cohorts on a real Dask cluster of two processes on this computer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.inference import cohort_case
from segmamba.inference.cohort import segment_cohort
from segmamba.inference.cohort_case import Job, Settings, compute_on_worker
from segmamba.inference.cohort_cluster import Cluster
from segmamba.inference.segmenter import Segmenter
from segmamba.models import find

SETTINGS = Settings("nowhere", "nothing", "")


def voxels(image):
    return sitk.GetArrayFromImage(image if isinstance(image, sitk.Image) else sitk.ReadImage(str(image)))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install segmamba[cluster]")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, make_volume):
    """Four cases, large enough to be killed in the middle."""
    folder = tmp_path_factory.mktemp("images")
    for n, name in enumerate("abcd"):
        sitk.WriteImage(make_volume((56, 54, 52), seed=n), str(folder / f"{name}_0000.nii.gz"))
    return folder


def kill_a_busy_worker(cluster, process: subprocess.Popen, out: Path, begun: int) -> str:
    """Kills the process of a worker that computes, after so many cases have ended; returns its case."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            busy = {address: keys for address, keys in client.processing().items() if keys}
            if len(lines(out / "manifest.jsonl")) >= begun and busy:
                address, (key, *_) = busy.popitem()
                pids = client.run(os.getpid)
                if address in pids and key in client.processing().get(address, ()):
                    os.kill(pids[address], signal.SIGKILL)
                    return key.split("-")[1]
            time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no worker was busy: {process.communicate()}")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a process is killed as on POSIX")
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, cohort, tmp_path, tiny_model):
    out = tmp_path / "out"
    call = [sys.executable, "-m", "segmamba", "segment", "--cohort", cohort, "-o", out, "--model", tiny_model]
    call += ["--scheduler", cluster.scheduler_address, "--json"]
    with subprocess.Popen(map(str, call), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        killed = kill_a_busy_worker(cluster, process, out, begun=1)
        unfinished = not (out / f"{killed}.nii.gz").exists()
        told, complaints = process.communicate(timeout=300)
    assert (process.returncode, complaints) == (0, "")
    assert unfinished
    assert sorted(json.loads(told)["done"]) == ["a", "b", "c", "d"]
    assert sorted((line["case"], line["status"]) for line in lines(out / "manifest.jsonl")) == [
        (name, "done") for name in "abcd"
    ]
    names = {"run.json", "manifest.jsonl", "statistics.csv", *(f"{name}.nii.gz" for name in "abcd")}
    assert {path.name for path in out.iterdir()} == names
    segmenter = Segmenter(tiny_model)
    for name in ("a", killed):
        alone = segmenter(cohort / f"{name}_0000.nii.gz")
        assert np.array_equal(voxels(out / f"{name}.nii.gz"), voxels(alone.labels)) and voxels(alone.labels).any()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a process is killed as on POSIX")
def test_a_case_whose_workers_all_end_fails_alone_and_others_go_on(cluster, cohort, tmp_path, tiny_model):
    out = tmp_path / "out"
    cluster.scheduler.allowed_failures, allowed = 0, cluster.scheduler.allowed_failures
    call = [sys.executable, "-m", "segmamba", "segment", "--cohort", cohort, "-o", out, "--model", tiny_model]
    call += ["--scheduler", cluster.scheduler_address, "--json"]
    try:
        with subprocess.Popen(map(str, call), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            killed = kill_a_busy_worker(cluster, process, out, begun=1)
            told, complaints = process.communicate(timeout=300)
    finally:
        cluster.scheduler.allowed_failures = allowed
    assert process.returncode == 2
    assert complaints.startswith(f"segmamba: 1 of 4 cases failed ({killed}); see ") and complaints.count("\n") == 1
    found = json.loads(told)
    assert sorted([*found["done"], killed]) == ["a", "b", "c", "d"]
    assert found["failed"][0]["case"] == killed and "memory" in found["failed"][0]["error"]
    assert not (out / f"{killed}.nii.gz").exists()


def test_failures_of_cases_and_of_workers_are_told_apart(cluster, tmp_path, make_volume, tiny_model):
    folder = tmp_path / "images"
    folder.mkdir()
    sitk.WriteImage(make_volume(), str(folder / "a_0000.nii.gz"))
    (folder / "b_0000.nii.gz").write_text("no image")
    result = segment_cohort(folder, tmp_path / "out", tiny_model, scheduler=cluster.scheduler_address)
    assert [line["case"] for line in result.done] == ["a"]
    assert [(line["case"], line["kind"]) for line in result.failed] == [("b", "input")]
    assert "b_0000.nii.gz" in result.failed[0]["error"]
    with pytest.raises(UserError, match="--device mps is not here"):
        segment_cohort(folder, tmp_path / "no", tiny_model, device="mps", scheduler=cluster.scheduler_address)
    assert not (tmp_path / "no" / "a.nii.gz").exists()


def test_where_the_scheduler_goes_what_is_done_is_kept(cohort, tmp_path, tiny_model):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install segmamba[cluster]")
    out = tmp_path / "out"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        call = [sys.executable, "-m", "segmamba", "segment", "--cohort", cohort, "-o", out, "--model", tiny_model]
        call += ["--scheduler", cluster.scheduler_address]
        process = subprocess.Popen(map(str, call), stderr=subprocess.PIPE, text=True)
        while not lines(out / "manifest.jsonl") and process.poll() is None:
            time.sleep(0.05)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert told.startswith(f"segmamba: --scheduler {cluster.scheduler_address} has gone") and told.count("\n") == 1
    kept = lines(out / "manifest.jsonl")
    assert 1 <= len(kept) < 4 and all((out / line["mask"]).exists() for line in kept)


def test_a_process_keeps_its_model_from_case_to_case(image, tmp_path, tiny_model):
    settings = Settings(str(tiny_model), "tiny", find(tiny_model).weights_sha256, device="cpu")
    outcomes = []
    for n in range(2):
        outcomes.append(compute_on_worker(settings, Job("a", (str(image),), str(tmp_path / f"{n}.nii.gz"))))
        if n == 0:
            kept = cohort_case._opened[1]
    assert [outcome["status"] for outcome in outcomes] == ["done", "done"]
    assert cohort_case._opened[1] is kept
    other = compute_on_worker(
        Settings(str(tiny_model), "tiny", "0" * 64), Job("a", (str(image),), str(tmp_path / "m.nii.gz"))
    )
    assert other["kind"] == "setup" and "other weights" in other["error"] and not (tmp_path / "m.nii.gz").exists()


def test_what_is_no_scheduler_is_refused():
    with pytest.raises(UserError, match=r"--scheduler localhost is no address.*tcp://host:port"):
        Cluster("localhost", SETTINGS)
    pytest.importorskip("distributed", reason="Dask is not installed: pip install segmamba[cluster]")
    with pytest.raises(UserError, match=r"--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        Cluster("tcp://127.0.0.1:9", SETTINGS)


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"segmamba\[cluster\]"):
        Cluster("tcp://127.0.0.1:9", SETTINGS)
