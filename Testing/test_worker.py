"""The worker as the process that it is: real requests through real pipes, real images, real files."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import segmamba
from segmamba.data.phantom import draw
from segmamba.serving.protocol import PHASES, Segmented

PACKAGE = Path(segmamba.__file__).parents[1]


class Worker:
    """A worker's process and its parent's side of the pipes."""

    def __init__(self, folder, *command):
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        self.process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "segmamba.worker"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=folder,
        )  # fmt: skip
        self.errors = []
        self._events = queue.Queue()
        self._count = 0
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def write(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, do, id=None, **fields):
        self._count += 1
        id = id or f"{do}-{self._count}"
        self.write(json.dumps({"id": id, "do": do, **fields}).encode())
        return id

    def event(self, timeout=60):
        """The next event, or None at the end."""
        return self._events.get(timeout=timeout)

    def wait(self, id, *events):
        """Events up to the first one of the request that is one of those; the last is that one."""
        seen = []
        while True:
            seen.append(self.event())
            assert seen[-1] is not None, (seen, self.errors)
            if seen[-1]["id"] == id and seen[-1]["event"] in (events or ("done", "failed")):
                return seen

    def ask(self, do, **fields):
        """The answer to a request."""
        return self.wait(self.send(do, **fields))[-1]

    def end(self):
        self.process.kill()
        self.process.wait(30)
        with contextlib.suppress(OSError):
            self.process.stdin.close()


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """One for all tests that leave it in good order."""
    made = Worker(tmp_path_factory.mktemp("worker"))
    yield made
    made.end()


@pytest.fixture
def own_worker(tmp_path):
    """One for this test alone."""
    folder = tmp_path / "worker"
    folder.mkdir()
    made = Worker(folder)
    yield made
    made.end()


def as_volume(image, path, name=None):
    np.save(path, sitk.GetArrayFromImage(image))
    geometry = {"origin": image.GetOrigin(), "spacing": image.GetSpacing(), "direction": image.GetDirection()}
    return {"array": str(path), **geometry, **({"name": name} if name else {})}


def voxels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.fixture(scope="module")
def long_job(tmp_path_factory, tiny_model, make_volume):
    """A request that takes half a minute, in windows of some milliseconds."""
    folder = tmp_path_factory.mktemp("long")
    image = as_volume(make_volume((110, 110, 110)), folder / "long.npy")

    def request(output):
        return {"model": str(tiny_model), "images": [image], "overlap": 0.6, "output": {"labels": str(output)}}

    return request


def test_a_ping_is_answered_before_torch_is_imported(own_worker):
    began = time.monotonic()
    pong = own_worker.ask("ping")
    assert time.monotonic() - began < 2
    assert pong["pid"] == own_worker.process.pid and pong["version"] == segmamba.__version__ and pong["torch"] is None
    assert pong["python"] == ".".join(map(str, sys.version_info[:3]))
    assert own_worker.ask("quit")["event"] == "done"
    assert own_worker.process.wait(10) == 0 and own_worker.event() is None and not own_worker.errors


def test_an_oblique_image_through_an_array_has_the_mask_of_the_command(worker, done, tmp_path, image, tiny_model):
    done("segment", image, "-o", tmp_path / "mask.nii.gz", "--model", tiny_model)
    stored = sitk.ReadImage(str(image))
    assert abs(np.reshape(stored.GetDirection(), (3, 3))[1, 2]) > 0.1
    labels = str(tmp_path / "labels.npy")
    job = {"model": str(tiny_model), "images": [as_volume(stored, tmp_path / "in.npy")], "output": {"labels": labels}}
    answer = worker.ask("segment", **job)
    assert answer["event"] == "done", answer
    array = np.load(labels, allow_pickle=False)
    assert array.dtype == np.uint8 and set(np.unique(array)) == {0, 1, 2}
    assert np.array_equal(array, voxels(tmp_path / "mask.nii.gz"))
    # As a path, and as an image out: still the same voxels, and the same bytes as the command's file.
    answer = worker.ask("segment", **{**job, "images": [str(image)], "output": {"labels": str(tmp_path / "m.nii.gz")}})
    assert answer["event"] == "done" and answer["labels"] == str(tmp_path / "m.nii.gz")
    assert (tmp_path / "m.nii.gz").read_bytes() == (tmp_path / "mask.nii.gz").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"image.nii.gz", "mask.nii.gz", "in.npy", "labels.npy", "m.nii.gz"}


def test_the_model_that_ships_gives_the_command_s_regions_probabilities_and_uncertainty(worker, command, tmp_path):
    turn = (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1)
    phantom = draw(3, (36, 34, 32), (2.0, 2.0, 2.2), turn)
    paths = [tmp_path / f"{name}.nii.gz" for name in phantom.channel_names]
    for channel, path in zip(phantom.images, paths, strict=True):
        sitk.WriteImage(channel, str(path))
    outcome = command(
        "segment", *paths, "-o", tmp_path / "mask.seg.nrrd", "--model", "phantom-lightmunet",
        "--probabilities", tmp_path / "p.nrrd", "--uncertainty", tmp_path / "u.nrrd",
    )  # fmt: skip
    assert outcome.status == 0
    out = {name: str(tmp_path / f"{name}.npy") for name in ("labels", "regions", "probabilities", "uncertainty")}
    images = [as_volume(sitk.ReadImage(str(path)), tmp_path / f"{path.name}.npy", path.name) for path in paths]
    id = worker.send("segment", model="phantom-lightmunet", images=images, output=out)
    *events, answer = worker.wait(id)
    assert answer["event"] == "done", answer

    # What is said of it.
    fields = set(Segmented.__dataclass_fields__)
    assert set(answer) == fields | {"id", "event"}
    assert {name: answer[name] for name in out} == out
    assert answer["names"] == {"2": "WT", "1": "TC", "3": "ET"}
    assert answer["model"]["name"] == "phantom-lightmunet" and len(answer["model"]["sha256"]) == 64
    assert (answer["device"], answer["precision"], answer["window_batch"]) == ("cpu", "fp32", 1)
    assert "Processor" in answer["device_title"] and answer["backend"]
    (warning,) = answer["warnings"]  # a small part of a head, to be quick
    assert "is meant for 160 to 192 mm" in warning and outcome.err == f"segmamba: warning: {warning}\n"
    assert 0 < answer["compute_seconds"] < answer["seconds"] and answer["windows"] >= 1
    assert answer["window_seconds"] == pytest.approx(answer["compute_seconds"] / answer["windows"])

    # The voxels.
    labels, regions, probabilities, uncertainty = (np.load(path, allow_pickle=False) for path in out.values())
    written = sitk.ReadImage(str(tmp_path / "mask.seg.nrrd"))
    assert np.array_equal(probabilities, voxels(tmp_path / "p.nrrd")) and probabilities.shape == (3, *labels.shape)
    assert np.array_equal(uncertainty, voxels(tmp_path / "u.nrrd")) and uncertainty.max() > 0
    for bit, (value, name) in enumerate(answer["names"].items()):
        mask = regions >> bit & 1 == 1
        assert mask.sum() == answer["voxels"][name] > 0 and np.array_equal(mask, probabilities[bit] > 0.5)
        assert answer["volumes_ml"][name] == pytest.approx(mask.sum() * 2 * 2 * 2.2 / 1000, rel=1e-5)
        assert np.array_equal(mask, _segment_of(written, name))
        assert (labels == int(value)).any()

    # What was said on the way.
    told = [event for event in events if event["event"] == "progress"]
    assert all(event["id"] == id and 0 <= event["fraction"] <= 1 for event in told)
    fractions = [event["fraction"] for event in told]
    assert fractions == sorted(fractions)
    phases = [event["message"] for event in told]
    assert set(phases) <= set(PHASES) and phases[0] in PHASES[:2] and phases[-1] == "Writing"
    assert {"Reading", "Preparing", "Segmenting", "Writing"} <= set(phases)


def _segment_of(image, name):
    """The mask of a segment in a .seg.nrrd, as its header tells where it is."""
    keys = [key for key in image.GetMetaDataKeys() if key.endswith("_Name") and image.GetMetaData(key) == name]
    start = keys[0].removesuffix("Name")
    array = sitk.GetArrayFromImage(image)
    if array.ndim == 4:
        array = array[..., int(image.GetMetaData(f"{start}Layer"))]
    return array == int(image.GetMetaData(f"{start}LabelValue"))


def test_the_second_job_loads_nothing_and_the_memory_is_given_back_on_demand(worker, tmp_path, image, tiny_model):
    job = {"model": str(tiny_model), "images": [str(image)], "output": {"labels": str(tmp_path / "l.npy")}}
    assert worker.ask("warm", model=str(tiny_model))["model"]["name"] == "tiny"
    *events, answer = worker.wait(worker.send("segment", **job))
    assert answer["loaded"] is False and "Loading model" not in [event.get("message") for event in events]
    assert answer["seconds"] - answer["compute_seconds"] < 1
    assert worker.ask("segment", **job, keep_model=False)["loaded"] is False
    *events, answer = worker.wait(worker.send("segment", **job))
    assert answer["loaded"] is True and "Loading model" in [event.get("message") for event in events]


def test_warming_up_opens_the_model_and_tells_the_devices(worker, tiny_model):
    answer = worker.ask("warm", model=str(tiny_model))
    assert answer["event"] == "done" and answer["model"]["path"] == str(tiny_model)
    assert answer["devices"][-1]["name"] == "cpu" and answer["devices"][-1]["title"].startswith("Processor (")
    assert worker.ask("ping")["torch"]
    assert worker.ask("warm")["model"] is None
    assert worker.ask("warm", model="no-such-model")["kind"] == "input"


def test_cancelling_takes_effect_within_a_second_and_a_ping_is_answered_meanwhile(worker, tmp_path, image, long_job):
    id = worker.send("segment", **long_job(tmp_path / "long.npy"))
    following = {**long_job(tmp_path / "after.npy"), "images": [str(image)]}
    waiting, after = worker.send("segment", **long_job(tmp_path / "w.npy")), worker.send("segment", **following)
    while worker.wait(id, "progress")[-1]["eta_s"] is None:
        pass
    began = time.monotonic()
    worker.wait(worker.send("ping"), "done")
    assert time.monotonic() - began < 1
    worker.send("cancel", id=waiting)
    assert worker.wait(waiting)[-1]["kind"] == "cancelled"
    began = time.monotonic()
    worker.send("cancel", id=id)
    failed = worker.wait(id)[-1]
    assert (failed["event"], failed["kind"]) == ("failed", "cancelled") and time.monotonic() - began < 1
    assert worker.wait(after)[-1]["event"] == "done"
    assert not (tmp_path / "long.npy").exists() and not (tmp_path / "w.npy").exists()
    worker.send("cancel", id=id)
    assert "no such job" in worker.wait(id, "log")[-1]["message"]
    assert worker.ask("ping")["event"] == "done"


def test_the_time_left_is_about_right(worker, tmp_path, long_job):
    """A job of a size that a quarter of it can be watched."""
    id = worker.send("segment", **long_job(tmp_path / "long.npy"))
    first = None
    while True:
        event = worker.wait(id, "progress")[-1]
        now = time.monotonic()
        if event["eta_s"] is not None and event["fraction"] > 0.06:
            first = first or (now, event["fraction"], event["eta_s"])
            if event["fraction"] > first[1] + 0.02:
                break
    worker.send("cancel", id=id)
    worker.wait(id)
    whole = (now - first[0]) / (event["fraction"] - first[1]) * (1 - first[1])
    assert whole / 3 < first[2] < whole * 3


WRONG = [
    (b"not json", None, "no JSON"),
    (b"\xff\xfe\x00", None, "no JSON"),
    (b"[]", None, "JSON object"),
    (b"{}", None, "no id"),
    (b'{"id": "m1"}', "m1", "do is None"),
    (b'{"id": "m2", "do": "dance"}', "m2", "dance"),
    (b'{"id": "m3", "do": "ping", "loud": 1}', "m3", "loud"),
    (b'{"id": "m4", "do": "segment"}', "m4", "images is missing"),
    (b'{"id": {}, "do": "ping"}', None, "id is"),
    (b'{"id": "m5", "do": "ping"} x', None, "no JSON"),
    (b'{"id": "' + b"m" * (1 << 20) + b'", "do": "ping"}', None, "longer than"),
]


def test_lines_that_are_no_requests_are_refused_and_the_worker_goes_on(worker):
    for line, id, problem in WRONG:
        worker.write(line)
        event = worker.event()
        assert (event["id"], event["event"], event["kind"]) == (id, "failed", "input"), line[:40]
        assert problem in event["message"] and "\n" not in event["message"]
    assert worker.ask("ping")["event"] == "done"


def test_wrong_input_is_a_sentence_and_the_worker_goes_on(worker, tmp_path, image, tiny_model):
    job = {"model": str(tiny_model), "images": [str(image)], "output": {"labels": str(tmp_path / "l.npy")}}
    blank = {"origin": [0, 0, 0], "spacing": [1, 1, 1], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "name": "Head"}
    np.save(tmp_path / "blank.npy", np.zeros((8, 8, 8)))
    np.save(tmp_path / "pickle.npy", np.array([[[{}]]], dtype=object))
    wrong = [
        ({"model": "nothing"}, "no model is named 'nothing'"),
        ({"images": [str(tmp_path / "none.nii.gz")]}, "none.nii.gz: there is no such file"),
        ({"images": [str(image)] * 2}, "needs 1 image"),
        ({"images": [{**blank, "array": str(tmp_path / "blank.npy")}]}, "Head (T1): the image is blank"),
        ({"images": [{**blank, "array": str(tmp_path / "pickle.npy")}]}, "Head: "),
        ({"output": {"labels": str(tmp_path / "no" / "l.npy")}}, "does not exist"),
        ({"output": {"labels": str(image)}}, "is one of the images"),
        ({"roi": "5:1,0:1,0:1"}, "empty along i"),
        ({"device": "tpu"}, "device tpu is unknown"),
        ({"precision": "fp8"}, "precision fp8 is unknown"),
    ]
    for changes, problem in wrong:
        answer = worker.ask("segment", **{**job, **changes})
        assert (answer["event"], answer["kind"]) == ("failed", "input"), answer
        assert problem in answer["message"] and "--" not in answer["message"], answer
    assert worker.ask("segment", **job, roi=[[0, 8], [0, 8], [0, 8]], threads=1)["event"] == "done"
    assert not np.load(tmp_path / "l.npy")[8:].any()


def test_an_id_that_is_in_use_is_refused_without_ending_its_job(worker, tmp_path, long_job):
    id = worker.send("segment", **long_job(tmp_path / "long.npy"))
    worker.send("segment", id=id, **long_job(tmp_path / "long.npy"))
    worker.write(json.dumps({"id": id, "do": "dance"}).encode())
    for problem in ("not over yet", "dance"):
        event = worker.wait(None, "failed")[-1]
        assert event["kind"] == "input" and problem in event["message"] and id in event["message"]
    worker.send("cancel", id=id)
    assert worker.wait(id)[-1]["kind"] == "cancelled"


BROKEN = """
from segmamba import models
find = models.find
models.find = lambda name: find(name) if name != "broken" else 1 / 0
from segmamba.worker import main
main()
"""


def test_a_defect_comes_with_its_traceback_and_the_next_job_works(tmp_path, image, tiny_model):
    worker = Worker(tmp_path, "-c", BROKEN)
    try:
        job = {"images": [str(image)], "output": {"labels": str(tmp_path / "l.npy")}}
        assert worker.ask("segment", model=str(tiny_model), **job)["loaded"] is True
        answer = worker.ask("segment", model="broken", **job)
        assert (answer["event"], answer["kind"]) == ("failed", "defect")
        assert "ZeroDivisionError" in answer["message"] and "\n" not in answer["message"]
        assert answer["traceback"].startswith("Traceback") and "models.find" in answer["traceback"]
        # What was in memory may have been what was broken.
        assert worker.ask("segment", model=str(tiny_model), **job)["loaded"] is True
    finally:
        worker.end()


def test_the_end_of_the_input_ends_it_at_once_in_the_middle_of_a_job(own_worker, tmp_path, long_job):
    id = own_worker.send("segment", **long_job(tmp_path / "long.npy"))
    while own_worker.wait(id, "progress")[-1]["message"] != "Segmenting":
        pass
    began = time.monotonic()
    own_worker.process.stdin.close()
    assert own_worker.process.wait(10) == 0 and time.monotonic() - began < 1
    assert {p.name for p in tmp_path.iterdir()} == {"worker"} and not list((tmp_path / "worker").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [getattr(signal, name, None) for name in ("SIGTERM", "SIGKILL")])
def test_a_signal_in_the_middle_of_a_job_leaves_no_result(own_worker, tmp_path, long_job, number):
    (tmp_path / "long.npy").write_text("the result of before")
    id = own_worker.send("segment", **long_job(tmp_path / "long.npy"))
    while own_worker.wait(id, "progress")[-1]["message"] != "Segmenting":
        pass
    began = time.monotonic()
    own_worker.process.send_signal(number)
    status = own_worker.process.wait(10)
    assert time.monotonic() - began < 1 and status == (-number if number == signal.SIGKILL else 128 + number)
    assert (tmp_path / "long.npy").read_text() == "the result of before"
    assert {p.name for p in tmp_path.iterdir()} == {"worker", "long.npy"} and not own_worker.errors


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit is Linux's")
def test_too_little_memory_is_a_failure_of_its_own_and_a_smaller_job_works(own_worker, tmp_path, image, tiny_model):
    import resource

    *events, _ = own_worker.wait(own_worker.send("warm", model=str(tiny_model)))
    assert any("selective scan on cpu" in event["message"] for event in events if event["event"] == "log")
    status = Path(f"/proc/{own_worker.process.pid}/status").read_text()
    size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize")) * 1024
    # A sparse file: it takes no room on the disk, and SimpleITK's copy of it takes more than is left.
    values = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.float64, (500, 500, 500))
    del values
    geometry = {"origin": [0, 0, 0], "spacing": [1, 1, 1], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
    resource.prlimit(own_worker.process.pid, resource.RLIMIT_AS, (size + (1200 << 20),) * 2)
    job = {"model": str(tiny_model), "output": {"labels": str(tmp_path / "l.npy")}}
    answer = own_worker.ask("segment", images=[{"array": str(tmp_path / "large.npy"), **geometry}], **job)
    assert (answer["event"], answer["kind"]) == ("failed", "memory"), answer
    assert "not enough memory" in answer["message"] and "--" not in answer["message"]
    answer = own_worker.ask("segment", images=[str(image)], **job)
    assert answer["event"] == "done" and answer["loaded"] is True  # the memory was given back
