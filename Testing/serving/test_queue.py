"""The worker's queue: order, cancelling, ids."""

import threading

import pytest

from segmamba.serving.protocol import Warm
from segmamba.serving.queue import Cancelled, Queue


def test_jobs_come_in_their_order_and_one_runs_at_a_time():
    queue = Queue()
    assert all(queue.put(Warm(id)) for id in "abc")
    assert queue.current is None
    for id in "abc":
        job = queue.take()
        assert job.id == id == queue.current
        job.check()
        queue.finished()
    assert queue.current is None


def test_a_waiting_job_is_taken_out_and_a_running_one_is_told():
    queue = Queue()
    for id in "abc":
        queue.put(Warm(id))
    running = queue.take()
    assert [queue.cancel(id) for id in ("b", "a", "z")] == ["waiting", "running", "unknown"]
    with pytest.raises(Cancelled):
        running.check()
    queue.finished()
    assert queue.take().id == "c"


def test_an_id_is_free_again_when_its_job_is_over():
    queue = Queue()
    assert queue.put(Warm("a")) and not queue.put(Warm("a"))
    queue.take()
    assert not queue.put(Warm("a")) and queue.holds("a")
    queue.finished()
    assert not queue.holds("a") and queue.put(Warm("a"))
    queue.take().check()  # nothing is left of the first one


def test_taking_waits_for_a_job():
    queue = Queue()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take().id), daemon=True)
    thread.start()
    thread.join(0.05)
    assert not taken
    queue.put(Warm("a"))
    thread.join(5)
    assert taken == ["a"]
