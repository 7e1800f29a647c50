"""The queue and the warm worker: order, results, inputs written late, estimates, waiting."""

import pytest

from segmamba.errors import UserError


def test_a_job_ends_with_the_workers_answer_and_tells_of_its_progress(runner, job):
    progress, finished = [], []
    one = job(["progress", 0.25], ["progress", 0.75], ["done", {"labels": "mask.npy", "voxels": {"Ära": 3}}])
    one.progressed.connect(lambda *values: progress.append(values))
    one.finished.connect(finished.append)
    runner.wait(runner.submit(one))
    assert (one.state, one.error, one.kind) == ("done", None, None)
    assert one.result["labels"] == "mask.npy" and one.result["voxels"] == {"Ära": 3}
    assert [fraction for fraction, _, _ in progress] == [0.0, 0.25, 0.75]
    assert progress[-1][2] == "Segmenting"
    assert finished == [one]


def test_jobs_run_one_after_another_in_one_worker(runner, job):
    order, states = [], []
    jobs = [job(["work", 0.01]) for _ in range(3)]
    for one in jobs:
        one.finished.connect(order.append)
        one.finished.connect(lambda _: states.append([other.state for other in jobs]))
        runner.submit(one)
    assert runner.running is jobs[0] and runner.queue == jobs[1:]
    runner.wait(jobs[-1])
    assert order == jobs
    assert states[0] == ["done", "queued", "queued"]
    assert len({one.result["pid"] for one in jobs}) == 1
    assert runner.idle and runner.is_warm


def test_a_failure_of_the_worker_is_the_jobs_failure(runner, job):
    one = runner.wait(runner.submit(job(["failed", "input", "T1.nii is no image; choose another."])))
    assert (one.state, one.kind, one.error) == ("failed", "input", "T1.nii is no image; choose another.")
    assert one.details == "Traceback: here"
    assert runner.wait(runner.submit(job())).state == "done"


def test_inputs_are_written_when_the_turn_comes_and_removed_after_the_listeners(runner, job, temporary_files):
    seen = []

    def prepare(one):
        path = one.folder / "T1.npy"
        path.write_text("voxels")
        one.request["script"] = [["write", str(one.folder / "mask.npy")], ["done", {"labels": "mask.npy"}]]

    first, second = job(["work", 0.05]), job(prepare=prepare)
    second.finished.connect(lambda one: seen.extend(path.name for path in temporary_files()[1:]))
    runner.submit(first)
    runner.submit(second)
    assert temporary_files() == []
    runner.wait(second)
    assert seen == ["T1.npy", "mask.npy"]
    assert temporary_files() == []


def test_inputs_that_cannot_be_written_fail_their_job_alone(runner, job, temporary_files):
    def refuse(one):
        one.folder.joinpath("half").write_text("x")
        raise UserError("'T1' is under a non-linear transform; harden it first.")

    def break_down(one):
        raise ZeroDivisionError("no voxels")

    refused, broken, good = job(prepare=refuse), job(prepare=break_down), job()
    for one in (refused, broken, good):
        runner.submit(one)
    runner.wait(good)
    assert (refused.state, refused.kind) == ("failed", "input")
    assert refused.error == "'T1' is under a non-linear transform; harden it first."
    assert (broken.state, broken.kind) == ("failed", "defect")
    assert "no voxels" in broken.error and "Traceback" in broken.details
    assert good.state == "done"
    assert temporary_files() == []


def test_a_long_queue_of_jobs_that_fail_as_they_start_ends(runner, job):
    def refuse(one):
        raise UserError("No.")

    jobs = [runner.submit(job(prepare=refuse)) for _ in range(400)]
    runner.wait(jobs[-1])
    assert {one.state for one in jobs} == {"failed"}


def test_a_listener_may_submit_the_next_job_and_wait_for_it(runner, job):
    inner = job(["work", 0.01])

    def next_one(_):
        runner.wait(runner.submit(inner))

    outer = job()
    outer.finished.connect(next_one)
    runner.wait(runner.submit(outer))
    assert (outer.state, inner.state) == ("done", "done")


def test_a_listener_that_fails_stops_nothing(runner, job, caplog):
    one = job(["progress", 0.5])
    one.progressed.connect(lambda *_: 1 / 0)
    one.finished.connect(lambda _: 1 / 0)
    runner.submit(one)
    assert runner.wait(runner.submit(job())).state == "done"
    assert one.state == "done" and "ZeroDivisionError" in caplog.text


def test_the_application_lives_while_a_job_is_waited_for(runner, job):
    import qt

    ticks = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start(20)
    runner.wait(runner.submit(job(["work", 0.4])))
    timer.stop()
    assert len(ticks) >= 5


def test_waiting_ends_after_its_time_and_refuses_what_was_never_submitted(runner, job):
    one = runner.submit(job(["work", 5]))
    assert runner.wait(one, 0.1).state == "running"
    with pytest.raises(ValueError, match="has not been submitted"):
        runner.wait(job())
    with pytest.raises(ValueError, match="submitted before"):
        runner.submit(one)


def test_warming_starts_the_worker_ahead_of_the_click_and_names_the_devices(runner, job, until):
    answers = []
    runner.warmed.connect(answers.append)
    runner.warm("m")
    assert runner.is_warm and runner.idle
    until(lambda: answers)
    assert answers[0]["model"] == "m"
    assert runner.devices == [{"name": "cpu", "title": "Processor"}]
    assert runner.wait(runner.submit(job())).state == "done"


def test_freeing_ends_an_idle_worker_and_not_a_busy_one(runner, job, until):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    busy = runner.submit(job(["work", 0.05]))
    runner.free()
    first = runner.wait(busy).result["pid"]
    runner.free()
    assert not runner.is_warm
    until(lambda: not process_lives(first))
    assert runner.wait(runner.submit(job())).result["pid"] != first


def test_the_worker_gets_the_packages_folder_first_and_the_rest_as_the_application_has_it(
    make_runner, job, tmp_path, monkeypatch
):
    import os

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["before", "after"]))
    runner = make_runner(package_folder=tmp_path)
    runner.wait(runner.submit(job()))
    about = runner._worker.about
    assert about["environment"] == {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), "before", "after"]),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONNOUSERSITE": "1",
    }
    assert about["folder"] == str(tmp_path)


def test_the_second_job_knows_how_long_it_will_take_before_its_first_window(runner, job):
    measured = {"window_seconds": 0.5, "compute_seconds": 4.0, "seconds": 4.5, "loaded": True}
    runner.wait(runner.submit(job(["done", measured])))
    left = []
    one = job(["progress", 0.1], windows=8)
    one.progressed.connect(lambda fraction, eta, message: left.append(eta))
    runner.wait(runner.submit(one))
    assert len(left) == 2 and 3.0 < left[1] <= left[0] <= 4.5
