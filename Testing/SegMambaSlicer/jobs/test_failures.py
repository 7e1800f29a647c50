"""A worker that crashes, hangs, babbles or cannot start costs its job and nothing else."""

import base64
import os
import signal
import time

import pytest


@pytest.mark.parametrize(
    ("step", "how"), ((["exit", 3], "exit code 3"), (["abort"], "ended by the system")), ids=("exit", "abort")
)
def test_a_crash_is_told_with_the_last_lines_and_the_next_job_works(runner, job, temporary_files, step, how):
    one = job(["progress", 0.5], ["err", "loading\nCUDA error: out of Ärger"], ["write", "{folder}"], step)
    one.request["script"][2][1] = str(one.folder / "mask.npy")
    runner.wait(runner.submit(one))
    assert (one.state, one.kind) == ("failed", "crash")
    assert one.error.startswith(f"The worker process ended unexpectedly ({how}): ") and "\n" not in one.error
    assert "loading\nCUDA error: out of Ärger" in one.details
    assert "CUDA error: out of Ärger" in one.log
    assert temporary_files() == []
    assert runner.wait(runner.submit(job())).state == "done"


def test_a_crash_behind_a_launcher_is_told_with_the_workers_own_last_line(make_runner, job):
    runner = make_runner("launcher")
    one = job(["progress", 0.5], ["err", "CUDA error: misaligned address\n"], ["abort"])
    runner.wait(runner.submit(one))
    assert one.kind == "crash"
    assert one.error == "The worker process ended unexpectedly (ended by the system): CUDA error: misaligned address"
    assert "exit abnormally" not in one.details


def test_after_a_defect_the_next_job_gets_another_process(runner, job):
    first = runner.wait(runner.submit(job())).result["pid"]
    assert runner.wait(runner.submit(job(["failed", "input", "No image."]))).kind == "input"
    assert runner.wait(runner.submit(job())).result["pid"] == first
    assert runner.wait(runner.submit(job(["failed", "defect", "an illegal memory access"]))).kind == "defect"
    assert runner.is_warm
    assert runner.wait(runner.submit(job())).result["pid"] != first


def test_an_estimate_that_cannot_be_learned_does_not_keep_the_job(runner, job, monkeypatch):
    monkeypatch.setattr(runner._estimates, "learn", lambda *_: 1 / 0)
    one, other = runner.submit(job()), runner.submit(job())
    runner.wait(other, 10)
    assert (one.state, other.state) == ("done", "done")


def test_until_the_first_message_a_silence_may_be_twice_as_long(application, until):
    from SegMambaSlicerLib.jobs.watch import HangWatch

    asked, begin = [], time.monotonic()
    watch = HangWatch(0.2, 0.1, lambda: asked.append(time.monotonic()), lambda: None)
    watch.start()
    assert watch.silence == pytest.approx(0.6)
    until(lambda: asked)
    assert asked[0] - begin > 0.45
    watch.begun()
    begin = time.monotonic()
    until(lambda: len(asked) > 1)
    assert 0.15 < asked[1] - begin < 0.45 and watch.silence == pytest.approx(0.3)
    watch.close()


def test_a_process_that_has_ended_is_kept_by_nobody(runner, job, until):
    import shiboken6

    for step in (["exit", 1], ["failed", "defect", "?"]):
        runner.submit(job(["progress", 0.5], step))
        process = runner._worker._process
        until(lambda: not shiboken6.isValid(process))  # noqa: B023


def test_a_queue_goes_on_after_a_crash(runner, job):
    first, second = runner.submit(job(["progress", 0.5], ["exit", 1])), runner.submit(job())
    runner.wait(second)
    assert (first.state, second.state) == ("failed", "done")


def test_a_worker_ended_while_idle_costs_the_next_job_nothing(runner, job):
    number = runner.wait(runner.submit(job())).result["pid"]
    os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))
    one = runner.wait(runner.submit(job()))  # submitted before the end of the worker is heard of
    assert one.state == "done" and one.result["pid"] != number


def test_a_worker_that_ends_with_each_job_is_not_started_for_ever(runner, job):
    runner.wait(runner.submit(job()))
    one = runner.wait(runner.submit(job(["exit", 1])))
    assert (one.state, one.kind) == ("failed", "crash")


def test_a_hang_is_found_and_ended_and_the_next_job_works(make_runner, job):
    from SegMambaSlicerLib.jobs.temporary import process_lives

    runner = make_runner(hang_seconds=0.3, answer_seconds=0.2)
    one = job(["err", "waiting for the card\n"], ["progress", 0.5], ["hang"])
    one.progressed.connect(lambda *_: numbers.append(runner._worker.about.get("pid")))
    numbers = []
    begin = time.monotonic()
    runner.wait(runner.submit(one))
    assert time.monotonic() - begin < 3
    assert (one.state, one.kind) == ("failed", "hang")
    assert "did not answer" in one.error and "waiting for the card" in one.details
    assert not process_lives(numbers[-1])
    assert runner.wait(runner.submit(job())).state == "done"


def test_a_silent_job_whose_worker_answers_is_left_alone(make_runner, job):
    runner = make_runner(hang_seconds=0.1, answer_seconds=0.2)
    assert runner.wait(runner.submit(job(["deaf", 0.8]))).state == "done"


def test_a_worker_that_never_answers_is_a_hang(make_runner, job):
    one = (runner := make_runner("silent", hang_seconds=0.1, answer_seconds=0.1)).submit(job())
    assert runner.wait(one).kind == "hang"


def test_a_hanging_job_can_be_cancelled_while_its_worker_is_being_ended(make_runner, job):
    runner = make_runner(hang_seconds=0.1, answer_seconds=0.1)
    one, other = runner.submit(job(["hang"])), runner.submit(job())
    one.progressed.connect(lambda *_: None)
    original = runner._let_die

    def let_die(worker):
        original(worker)
        runner.cancel(one)

    runner._let_die = let_die
    assert runner.wait(other).state == "done"
    assert one.state == "cancelled"


def test_a_program_that_is_not_there_is_one_clear_sentence(make_runner, job, tmp_path):
    program = str(tmp_path / "no-python")
    runner = make_runner(python=[program])
    jobs = [runner.submit(job()) for _ in range(2)]
    runner.wait(jobs[1])
    for one in jobs:
        assert (one.state, one.kind) == ("failed", "start")
        expected = f"The worker process could not be started with {program}: there is no such program."
        assert one.error == expected
    assert not runner.is_warm


def test_a_package_that_is_not_there_is_one_clear_sentence(make_runner, job, tmp_path):
    folder = tmp_path / "nothing"
    one = (runner := make_runner(package_folder=folder)).submit(job())
    runner.wait(one)
    assert one.kind == "start" and one.error.endswith(f": there is no folder {folder}.")


def test_a_program_that_may_not_be_run_is_one_clear_sentence(make_runner, job, tmp_path):
    program = tmp_path / "python"
    program.write_bytes(b"\0\0\0")
    program.chmod(0o755)
    one = (runner := make_runner(python=[str(program)])).submit(job())
    runner.wait(one)
    assert one.kind == "start" and str(program) in one.error and "\n" not in one.error


def test_a_worker_that_ends_before_it_is_ready_tells_its_last_line_and_is_not_kept_trying(make_runner, job):
    one = (runner := make_runner("stillborn")).submit(job())
    runner.wait(one)
    assert one.kind == "start"
    assert one.error == (
        "The worker process ended before it was ready (exit code 1): ModuleNotFoundError: No module named 'segmamba'"
    )
    assert not runner.is_warm


def out(data: bytes) -> list:
    return ["out", base64.b64encode(data).decode()]


def test_what_is_no_message_goes_to_the_log_and_does_no_harm(runner, job):
    one = job(
        out(b"Warning: deprecated\r\n\n   \n{not json}\n[1, 2]\n42\nnull\n" + b'{"event": 7}\n' + b'{"id": "1"}\n'),
        out(b"\xff\xfe caf\xc3\xa9 \x80\n"),
        out(b"[" * 100000 + b"\n"),
        out(b'{"id": "999", "event": "done"}\n{"id": null, "event": "failed", "kind": "input", "message": "?"}\n'),
        out(b'{"id": ["1"], "event": "done"}\n'),
        ["err", " 10%|#\r 20%|##\r\n"],
        ["work", 0.1],  # the two streams are read one after the other
        ["progress", "much"],
        ["progress", 0.5],
    )
    fractions = []
    one.progressed.connect(lambda fraction, *_: fractions.append(fraction))
    runner.wait(runner.submit(one))
    assert one.state == "done"
    assert one.log[:3] == ["Warning: deprecated", "{not json}", "[1, 2]"]
    assert "\ufffd\ufffd café \ufffd" in one.log
    assert " 10%|#" in one.log and " 20%|##" in one.log
    assert max(len(line) for line in one.log) < 2100
    assert fractions[-1] == 0.5


def test_a_message_in_pieces_and_one_of_megabytes_are_whole(runner, job):
    steps = [out(bytes([byte])) for byte in b'{"event": "log", "message": "in \xc3\xa4 pieces"}\n']
    text = "x" * 3_000_000
    one = runner.wait(runner.submit(job(*steps, ["done", {"text": text}])))
    assert "in ä pieces" in one.log
    assert one.result["text"] == text


def test_a_last_message_without_an_end_of_line_counts(runner, job):
    one = runner.submit(job(out(b'{"id": "1", "event": "done", "labels": "here"}'), ["exit", 0]))
    assert runner.wait(one).result["labels"] == "here"


def test_a_flood_of_output_does_not_fill_the_memory(runner, job):
    one = runner.wait(runner.submit(job(*[["err", "line\n" * 5000]] * 2, out(b"y" * 17_000_000 + b"\n"))))
    assert one.state == "done" and len(one.log) == 1000
    assert "a line of 17000000 bytes was left out" in "\n".join(one.log[-3:])


def test_a_request_of_megabytes_reaches_a_worker_that_is_slow_to_read(runner, job):
    one = job(["deaf", 0.2])
    one.request["padding"] = "z" * 3_000_000
    assert runner.wait(runner.submit(one)).state == "done"
