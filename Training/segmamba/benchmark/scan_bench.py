"""``segmamba bench scan``: every goal of the scan that needs no graphics card, measured and judged."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from segmamba.benchmark import machine
from segmamba.benchmark.jobs import Outcome, measure
from segmamba.benchmark.scan_rows import Job, plan
from segmamba.errors import UserError

_CACHED_STARTS = 3


def run_scan(
    threads: int,
    repeats: int,
    device: str = "cpu",
    only: Sequence[str] = (),
    quick: bool = False,
    full: bool = False,
    library: str | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict:
    """Measures.

    Args:
        threads: Number of threads for what is not measured on one.
        repeats: Rounds of each comparison.
        device: ``cpu`` or ``cuda``.
        only: Names of rows; all if empty.
        quick: Small sizes, no verdicts: to see that everything works.
        full: Also the one row that takes minutes.
        library: A compiled yardstick of the same interface as ours.
        progress: Takes a fraction and what is being measured.

    Returns:
        ``machine``, ``rows`` (name, row, measured, value, must, goal, verdict), ``backends`` (seconds by way and
        backend), ``details`` (all values of every measurement), ``quick``.

    Raises:
        UserError: A row is unknown.
    """
    jobs, rows = plan(threads, repeats, device, library, full)
    names = [row.name for row in rows]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise UserError(f"--only {unknown[0]}: there is no such row; the rows are {', '.join(names)}")
    rows = [row for row in rows if not only or row.name in only]
    wanted = [job for job in jobs if any(row.job == job.name for row in rows)]
    facts = machine.describe(device, threads)
    outcomes: dict[str, Outcome] = {}
    for done, job in enumerate(wanted):
        if progress is not None:
            progress(done / len(wanted), f"measuring {job.name}")
        outcomes[job.name] = _measure(job, device, quick)
    if progress is not None:
        progress(1.0, "measured")
    left_out = Outcome(problem="takes minutes; measured with --full")
    return {
        "machine": facts,
        "quick": quick,
        "rows": [row.judge(outcomes.get(row.job, left_out), counts=not quick) for row in rows],
        "backends": outcomes.get("backends", Outcome()).values.get("seconds", {}),
        "details": {name: outcome.values or {"problem": outcome.problem} for name, outcome in outcomes.items()},
    }


def _measure(job: Job, device: str, quick: bool) -> Outcome:
    if device not in job.devices:
        return Outcome(problem="a row of the processor")
    arguments = job.quick if quick and job.quick else job.arguments
    if job.starts:
        return _starts(job, arguments)
    return measure(job.measure, arguments, job.threads, device)


def _starts(job: Job, arguments: dict) -> Outcome:
    """The first start with nothing kept, then starts with what it kept; the best of several counts."""
    with tempfile.TemporaryDirectory() as folder:
        # Where compiled kernels are kept; a path of its own, lest something else has been put there.
        environment = {"NUMBA_CACHE_DIR": str(Path(folder) / "kept")}
        results = [measure(job.measure, arguments, job.threads, "cpu", environment) for _ in range(1 + _CACHED_STARTS)]
    problem = next((result.problem for result in results if result.problem), "")
    if problem:
        return Outcome(problem=problem)
    seconds = [result.values["seconds"] for result in results]
    return Outcome({"first": seconds[0], "cached": min(seconds[1:]), "all": seconds})
