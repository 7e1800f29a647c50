"""The runner with the worker that ships: results, cancelling, and the worker killed in the middle."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where these tests' temporary files go."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def jobs(started_application, folder):
    """The package `jobs`."""
    from SegMambaSlicerLib import jobs
    from SegMambaSlicerLib.jobs import temporary

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temporary, "temporary_base", lambda: folder)
        yield jobs


@pytest.fixture(scope="module")
def shared(jobs, folder):
    """One runner with the worker that ships, as a worker takes seconds to start; it goes through all that follows."""
    estimates = jobs.Estimates(folder.with_name("times.json"))
    runner = jobs.Runner([sys.executable], ROOT / "Training", estimates=estimates)
    yield runner
    runner.shut_down()


@pytest.fixture
def runner(shared):
    """The shared runner, with nothing to do."""
    assert shared.idle
    return shared


@pytest.fixture
def temporary_files(folder):
    """What lies in the folder for temporary files now."""
    return lambda: sorted(folder.rglob("*"))


def segmenting(jobs, model, images, **request):
    """A job that segments SimpleITK images, handed over as the nodes are."""
    import SimpleITK as sitk

    def prepare(job):
        handed = []
        for number, image in enumerate(images):
            path = job.folder / f"{number}.npy"
            np.save(path, sitk.GetArrayFromImage(image))
            geometry = {name: getattr(image, f"Get{name.title()}")() for name in ("origin", "spacing", "direction")}
            handed.append({"array": str(path), "name": f"channel {number}", **geometry})
        job.request.update(images=handed, output={"labels": str(job.folder / "labels.npy")})

    return jobs.Job("segmentation", {"model": str(model), **request}, prepare=prepare)


@pytest.fixture
def long_job(jobs, tiny_model, make_volume):
    """Makes jobs of so many windows that they do not end by themselves."""
    return lambda: segmenting(jobs, tiny_model, [make_volume((48, 48, 48))], overlap=0.9)


@pytest.fixture
def at_work(runner, until):
    """Submits a job and returns when its windows are being computed."""

    def start(job):
        fractions = set()
        job.progressed.connect(lambda fraction, left, phase: phase == "Segmenting" and fractions.add(fraction))
        runner.submit(job)
        until(lambda: job.ended or len(fractions) > 2, 60)
        assert job.state == "running", job.error
        return job

    return start


@pytest.fixture
def works(jobs, runner, tiny_model, make_volume):
    """Whether a short job is done."""

    def check():
        job = segmenting(jobs, tiny_model, [make_volume((16, 16, 16))])
        assert runner.wait(runner.submit(job), 60).state == "done", job.error

    return check


def test_the_mask_is_that_of_the_segmenter_voxel_for_voxel(jobs, runner, tiny_model, make_volume, temporary_files):
    import SimpleITK as sitk

    from segmamba import Segmenter

    expected = Segmenter(tiny_model, device="cpu")(make_volume())
    job, masks, phases = segmenting(jobs, tiny_model, [make_volume()], device="cpu"), [], []
    job.finished.connect(lambda job: masks.append(np.load(job.result["labels"])))
    job.progressed.connect(lambda fraction, left, phase: phases.append(phase))
    assert runner.wait(runner.submit(job), 120).state == "done", job.error
    np.testing.assert_array_equal(masks[0], sitk.GetArrayFromImage(expected.labels))
    assert masks[0].any()
    assert job.result["names"] == {str(value): name for value, name in expected.names.items()}
    assert {"Reading", "Segmenting", "Writing"} <= set(phases)
    assert temporary_files() == []


def test_a_phantom_is_segmented_with_the_model_that_ships(jobs, runner, temporary_files):
    import SimpleITK as sitk

    from segmamba.data.phantom import draw

    phantom = draw(1001, size=(36, 40, 32), spacing=(4, 4, 4))
    job, masks = segmenting(jobs, "phantom-lightmunet", list(phantom.images)), []
    job.finished.connect(lambda job: masks.append(np.load(job.result["labels"])))
    assert runner.wait(runner.submit(job), 120).state == "done", job.error
    found, true = masks[0] > 0, sitk.GetArrayFromImage(phantom.label) > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.7
    assert sorted(job.result["names"].values()) == ["ET", "TC", "WT"]
    assert temporary_files() == []


def test_a_cancel_in_the_middle_takes_effect_within_a_second(runner, at_work, long_job, works, temporary_files):
    job = at_work(long_job())
    begin = time.monotonic()
    runner.cancel(job)
    runner.wait(job)
    assert time.monotonic() - begin < 1
    assert job.state == "cancelled" and temporary_files() == []
    works()


def test_a_worker_killed_in_the_middle_costs_its_job_alone(runner, at_work, long_job, works, temporary_files):
    job = at_work(long_job())
    os.kill(runner._worker.about["pid"], getattr(signal, "SIGKILL", signal.SIGTERM))
    runner.wait(job)
    assert (job.state, job.kind) == ("failed", "crash") and "ended unexpectedly" in job.error
    assert temporary_files() == []
    works()


def test_a_mistake_of_the_user_is_the_workers_sentence(jobs, runner, works):
    job = runner.wait(runner.submit(segmenting(jobs, "no-such-model", [])), 60)
    assert (job.state, job.kind) == ("failed", "input") and job.error
    works()


def test_shutting_down_in_the_middle_leaves_no_process_and_no_file(runner, at_work, long_job, temporary_files):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    job = at_work(long_job())
    number = runner._worker.about["pid"]
    runner.shut_down()
    assert job.state == "cancelled"
    assert not process_lives(number) and temporary_files() == []
