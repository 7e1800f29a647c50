"""Cases of a cohort on the workers of a Dask cluster; a worker that dies loses no case."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError

from segmamba import __version__
from segmamba.errors import UserError
from segmamba.inference.cohort_case import INPUT, Job, Outcome, Settings, compute_on_worker, failed
from segmamba.inference.window import Progress

_ADDRESS = re.compile(r"[a-z]+://\S+:\d+")
_CONNECT_SECONDS = 10
# Workers come and go while cases are computed: how often they are counted.
_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Cluster:
    """The workers of a Dask scheduler.

    Each worker process keeps the model from one case to the next and computes one case at a time.  Dask gives the case
    of a worker that died to another, as often as the scheduler's ``distributed.scheduler.allowed-failures`` says (3).

    Args:
        scheduler: Its address, ``tcp://host:port``.
        settings: How cases are computed.

    Raises:
        UserError: Dask is not installed, the address is none, or no scheduler answers there.
    """

    def __init__(self, scheduler: str, settings: Settings) -> None:
        if not _ADDRESS.fullmatch(scheduler):
            raise UserError(f"--scheduler {scheduler} is no address; give it as tcp://host:port")
        try:
            import distributed
        except ImportError as error:
            raise UserError(
                f"--scheduler needs Dask, which is not installed ({error}); install it with: pip install "
                '"segmamba[cluster]"'
            ) from error
        if not _log.isEnabledFor(logging.DEBUG):
            # It sets its own loggers up when it is imported; what matters of a connection is said here.
            for name in ("distributed", "distributed.client", "distributed.comm", "distributed.core", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        self._distributed = distributed
        self._scheduler = scheduler
        self._settings = settings
        self._alone_since: float | None = None
        try:
            self._client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise UserError(
                f"--scheduler {scheduler}: no Dask scheduler answers there; start it, or correct the address"
            ) from error

    def run(self, jobs: list[Job], progress: Progress | None) -> Iterator[tuple[Job, Outcome]]:
        """Every job with its outcome, in the order in which they end.

        Raises:
            UserError: The scheduler has gone, or the workers lack the package.
        """
        queue = deque(jobs)
        pending: dict = {}
        ended = 0
        try:
            while queue or pending:
                try:
                    workers = len(self._client.nthreads())
                    # No more than are computed at once: a worker's death then counts against its own case alone.
                    while queue and len(pending) < max(1, workers):
                        job = queue.popleft()
                        pending[self._submit(job)] = job
                    self._wait(list(pending))
                except (OSError, CancelledError, asyncio.CancelledError) as error:
                    raise self._gone() from error
                self._complain(workers)
                for future in [future for future in pending if future.done()]:
                    job = pending.pop(future)
                    outcome = self._outcome(future)
                    future.release()
                    ended += 1
                    yield job, outcome
                if progress is not None:
                    progress(ended / len(jobs), f"{ended} of {len(jobs)} cases, {workers} workers")
        finally:
            for future in pending:
                with contextlib.suppress(Exception):  # of a connection that is lost; the reason is on its way
                    future.cancel()

    def close(self) -> None:
        """Leaves the cluster; the workers stay."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)

    def _submit(self, job: Job):
        key = f"segmamba-{job.case}-{uuid.uuid4().hex}"
        return self._client.submit(compute_on_worker, self._settings, job, key=key, pure=False)

    def _wait(self, futures: list) -> None:
        with self._client.as_current(), contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            self._distributed.wait(futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")

    def _outcome(self, future) -> Outcome:
        if future.status == "finished":
            return future.result()
        if future.status != "error":  # cancelled or lost: by a scheduler that started anew
            raise self._gone()
        error = future.exception()
        if isinstance(error, self._distributed.KilledWorker):
            text = (
                "the workers that computed this case ended, one after the other; give workers more memory, or look "
                "at the case alone"
            )
            return {"seconds": 0.0} | failed(text, INPUT)
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, (ImportError, AttributeError)):
                raise UserError(
                    f"--scheduler {self._scheduler}: its workers cannot load segmamba ({cause}); install version "
                    f"{__version__} for the scheduler and all workers"
                ) from error
            cause = cause.__cause__ or cause.__context__
        raise error

    def _gone(self) -> UserError:
        return UserError(
            f"--scheduler {self._scheduler} has gone; what is done is kept: start it, and give the same command again"
        )

    def _complain(self, workers: int) -> None:
        """Says once that nobody computes."""
        if workers:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE_SECONDS:
            _log.warning("--scheduler %s has no workers; waiting for some", self._scheduler)
            self._alone_since = float("inf")
