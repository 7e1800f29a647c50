"""Segmentation jobs in a worker process: a queue, cancelling, crashes and hangs, temporary files, time estimates."""

from .estimate import Estimates, count_windows
from .job import ENDED, Job
from .runner import Runner
from .temporary import TemporaryFolder, remove_leftovers

__all__ = ["ENDED", "Estimates", "Job", "Runner", "TemporaryFolder", "count_windows", "remove_leftovers"]
