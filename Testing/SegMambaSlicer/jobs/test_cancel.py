"""Cancelling takes effect within a second, and shutting down leaves nothing behind."""

import time

import pytest
from SegMambaSlicerLib.signal import Signal


@pytest.fixture
def started(runner, until):
    """Submits a job and returns when its worker is at work."""

    def start(one):
        heard = []
        one.progressed.connect(lambda fraction, *_: heard.append(fraction))
        runner.submit(one)
        until(lambda: any(heard))
        return one

    return start


def test_a_job_that_heeds_the_cancel_keeps_its_worker(runner, job, started):
    one = started(job(["progress", 0.5], ["work", 30]))
    worker = runner._worker
    begin = time.monotonic()
    runner.cancel(one)
    assert one.state == "cancelling"
    runner.wait(one)
    assert time.monotonic() - begin < 0.6
    assert (one.state, one.kind, one.error) == ("cancelled", None, None)
    assert runner.wait(runner.submit(job())).state == "done"
    assert runner._worker is worker


@pytest.mark.parametrize("step", (["deaf", 30], ["hang"]))
def test_a_job_that_does_not_heed_it_is_ended_within_a_second_and_a_spare_warms(runner, job, started, until, step):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    one = started(job(["progress", 0.5], step))
    number, answers = runner._worker.about["pid"], []
    runner.warmed.connect(answers.append)
    begin = time.monotonic()
    runner.cancel(one)
    runner.cancel(one)
    runner.wait(one)
    assert time.monotonic() - begin < 1.0
    assert one.state == "cancelled" and not process_lives(number)
    assert runner.is_warm
    until(lambda: answers)
    assert answers[0]["model"] == "m"
    assert runner.wait(runner.submit(job())).state == "done"


@pytest.mark.parametrize("device", ("auto", "cpu"))
def test_a_killed_worker_that_may_hold_a_cards_memory_is_waited_for(runner, job, started, until, monkeypatch, device):
    """The job is reported at once; the next worker starts when the card is free."""
    from SegMambaSlicerLib.jobs import worker_process

    one, after = job(["progress", 0.5], ["deaf", 30]), job()
    one.request["device"] = device
    started(one)
    killed, kill = [], worker_process.WorkerProcess.kill
    monkeypatch.setattr(worker_process.WorkerProcess, "kill", lambda worker: killed.append(worker))
    begin = time.monotonic()
    runner.cancel(one)
    runner.submit(after)
    runner.wait(one)
    assert time.monotonic() - begin < 1.2 and one.state == "cancelled"
    if device == "cpu":
        assert runner.wait(after).state == "done"
    else:
        assert runner.wait(after, 0.3).state == "queued"
    monkeypatch.undo()
    kill(killed[0])
    assert runner.wait(after).state == "done"


def test_a_spare_is_waited_for_too_and_not_for_ever(runner, job, started, until, monkeypatch):
    from SegMambaSlicerLib.jobs import runner as module
    from SegMambaSlicerLib.jobs import worker_process

    monkeypatch.setattr(module, "HOLD_MS", 600)
    one = started(job(["progress", 0.5], ["deaf", 30]))
    killed, kill = [], worker_process.WorkerProcess.kill
    with monkeypatch.context() as patched:
        patched.setattr(worker_process.WorkerProcess, "kill", lambda worker: killed.append(worker))
        runner.cancel(one)
        runner.wait(one)
        assert runner.is_warm and runner._worker is None
        until(lambda: runner._worker is not None)
    kill(killed[0])


def test_a_wait_ends_when_the_application_quits(runner, job):
    """With the real end of Qt's event loop, as a closed main window brings it about."""
    import qt
    from PySide6 import QtCore, QtWidgets

    one, raised = job(["work", 30]), []

    def script() -> None:
        runner.submit(one)
        timer.start(100)
        try:
            runner.wait(one, 20)
        except RuntimeError as error:
            raised.append(str(error))

    # In Slicer that comes after the last event loop has ended, which this wait would keep from ending.
    qt.QCoreApplication.instance().disconnect("aboutToQuit()", runner.shut_down)
    timer, begin = qt.QTimer(), qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", lambda: QtCore.QCoreApplication.exit(0))
    begin.setSingleShot(True)
    begin.connect("timeout()", script)
    begin.start(0)
    start = time.monotonic()
    QtWidgets.QApplication.exec()
    assert time.monotonic() - start < 5
    assert raised == ["The application quits."]
    assert one.state == "cancelled" and not runner.is_warm


def test_an_error_in_what_is_waited_for_is_raised(application):
    from SegMambaSlicerLib.jobs.waiting import wait_until

    looks = []

    def over() -> bool:
        looks.append(1)
        if len(looks) > 1:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        wait_until(over, 5)


def test_without_a_spare_the_next_job_starts_the_worker(make_runner, job, until):
    runner = make_runner(spare=False)
    one = runner.submit(job(["deaf", 30]))
    until(lambda: runner._worker.ready)
    runner.cancel(one)
    runner.wait(one)
    assert not runner.is_warm
    assert runner.wait(runner.submit(job())).state == "done"


def test_a_job_is_cancelled_while_its_worker_is_still_starting(make_runner, job):
    runner = make_runner("silent")
    one = runner.submit(job())
    runner.cancel(one)
    begin = time.monotonic()
    runner.wait(one)
    assert one.state == "cancelled" and time.monotonic() - begin < 1.0


def test_a_waiting_job_is_cancelled_at_once_and_the_running_one_goes_on(runner, job):
    running, waiting = runner.submit(job(["work", 0.1])), runner.submit(job())
    runner.cancel(waiting)
    assert waiting.state == "cancelled" and runner.queue == []
    assert runner.wait(running).state == "done"
    runner.cancel(running)
    assert running.state == "done"


def test_cancelling_all_starts_none_of_the_waiting(runner, job):
    begun, ended = Signal(), []
    jobs = [job(["work", 30], prepare=lambda one: begun.emit(one)) for _ in range(3)]
    starts = []
    begun.connect(starts.append)
    for one in jobs:
        one.finished.connect(ended.append)
        runner.submit(one)
    runner.cancel_all()
    runner.wait(jobs[0])
    assert starts == [jobs[0]] and ended == [jobs[2], jobs[1], jobs[0]]
    assert {one.state for one in jobs} == {"cancelled"}


def test_a_job_cancelled_while_its_inputs_are_written_never_starts(runner, job, temporary_files):
    def prepare(one):
        one.folder.joinpath("T1.npy").write_text("x")
        runner.cancel(one)
        one.folder.joinpath("T2.npy").write_text("x")  # the folder is gone: raises

    finished = []
    one = job(prepare=prepare)
    one.finished.connect(finished.append)
    runner.submit(one)
    assert one.state == "cancelled" and finished == [one]
    assert not runner.is_warm and temporary_files() == []


def test_a_result_that_comes_after_the_cancel_is_not_used(runner, job, started):
    one = started(job(["progress", 0.5], ["deaf", 0.1], ["done", {}]))
    runner.cancel(one)
    assert runner.wait(one).state == "cancelled" and one.result is None


@pytest.mark.parametrize("step", (["work", 30], ["hang"]))
def test_shutting_down_in_the_middle_leaves_no_process_and_no_file(runner, job, started, temporary_files, step):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    one = job(["progress", 0.5], step, prepare=lambda one: one.folder.joinpath("T1.npy").write_text("x"))
    waiting = job()
    started(one)
    runner.submit(waiting)
    assert len(temporary_files()) == 2
    number = runner._worker.about["pid"]
    runner.shut_down()
    assert not process_lives(number)
    assert temporary_files() == []
    assert (one.state, waiting.state) == ("cancelled", "cancelled")
    runner.shut_down()
    runner.warm()
    assert not runner.is_warm
    with pytest.raises(RuntimeError, match="shut down"):
        runner.submit(job())


def test_shutting_down_ends_a_wait(runner, job):
    import qt

    one = runner.submit(job(["work", 30]))
    timer = qt.QTimer()
    timer.connect("timeout()", runner.shut_down)
    timer.start(100)
    assert runner.wait(one, 5).state == "cancelled"


@pytest.mark.parametrize("ending", ("cancel", "shut_down"))
def test_a_worker_behind_a_launcher_is_ended_with_it(make_runner, job, until, ending):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    runner = make_runner("launcher", spare=False)
    one = runner.submit(job(["hang"]))
    until(lambda: runner._worker.ready)
    number, launcher = runner._worker.about["pid"], int(runner._worker._process.processId())
    assert number != launcher
    if ending == "cancel":
        runner.cancel(one)
        runner.wait(one)
    else:
        runner.shut_down()
    assert one.state == "cancelled"
    until(lambda: not process_lives(launcher) and not process_lives(number))
