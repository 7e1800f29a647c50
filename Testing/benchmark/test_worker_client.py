"""A parent of the worker's process."""

import pytest

from segmamba import __version__
from segmamba.benchmark.jobs import NotMeasured
from segmamba.benchmark.worker_client import Worker
from segmamba.errors import UserError


def test_a_request_is_answered():
    with Worker() as worker:
        assert worker.ask("ping")["version"] == __version__
        assert worker.ask("ping")["torch"] is None
    with pytest.raises((NotMeasured, ValueError)):  # it is gone
        worker.ask("ping")


def test_a_refused_request_is_the_users_mistake():
    with Worker() as worker:
        with pytest.raises(UserError, match="images"):
            worker.ask("segment", model="phantom-lightmunet")
        assert worker.ask("ping")["pid"]


def test_a_worker_that_ends_is_told_with_its_status():
    with Worker() as worker:
        worker.ask("ping")
        worker._process.kill()
        with pytest.raises(NotMeasured, match=r"failed: the worker ended with status -?[0-9]+: no message"):
            worker.ask("ping")
