"""Many cases with one model into one folder: what is done is kept, what fails is told apart, the rest goes on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from segmamba import __version__, models
from segmamba.bundle import Bundle
from segmamba.errors import UserError
from segmamba.images import MASK_SUFFIXES, check_output
from segmamba.inference.cohort_case import (
    DEFECT,
    INPUT,
    SETUP,
    Job,
    Outcome,
    Settings,
    compute,
    failed,
    open_segmenter,
)
from segmamba.inference.cohort_list import Cohort, CohortCase, read_cohort
from segmamba.inference.cohort_manifest import Line, Manifest, write_text
from segmamba.inference.window import Progress
from segmamba.reading import read_object

RUN, MANIFEST, FAILED, STATISTICS = "run.json", "manifest.jsonl", "failed.jsonl", "statistics.csv"
# What of a model decides on its masks; a better description of it does not make another of it.
_DECISIVE = ("network", "options", "channels", "labels", "regions", "spacing", "orientation", "patch", "postprocessing")
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}(\.nii\.gz|\.nii|\.seg\.nrrd|\.nrrd|\.mha|\.jsonl|\.json|\.csv)")

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """What computes cases."""

    def run(self, jobs: list[Job], progress: Progress | None) -> Iterator[tuple[Job, Outcome]]:
        """Every job with its outcome, as each ends."""

    def close(self) -> None:
        """Ends it."""


class Here:
    """Cases one after the other in this process, with the model opened once."""

    def __init__(self, settings: Settings) -> None:
        self._segmenter = open_segmenter(settings)

    def run(self, jobs: list[Job], progress: Progress | None) -> Iterator[tuple[Job, Outcome]]:
        """Every job with its outcome, in their order."""
        for n, job in enumerate(jobs):

            def report(fraction: float, message: str, n: int = n, job: Job = job) -> None:
                progress((n + fraction) / len(jobs), f"{job.case} ({n + 1} of {len(jobs)}): {message}")

            yield job, compute(self._segmenter, job, None if progress is None else report)

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class CohortResult:
    """What became of a cohort.

    Attributes:
        output: The folder.
        done: Manifest's lines of the cases computed now.
        skipped: Of those that were there already.
        failed: Of those that failed now.
        statistics: The table of all cases with a mask.
        warnings: On the cohort as a whole.
    """

    output: Path
    statistics: Path
    done: list[Line] = field(default_factory=list)
    skipped: list[Line] = field(default_factory=list)
    failed: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def defects(self) -> list[Line]:
        """Failures that are no mistake of the user."""
        return [line for line in self.failed if line["kind"] == DEFECT]


def segment_cohort(
    cohort: str | Path,
    output: str | Path,
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    tta: bool = False,
    overlap: float = 0.5,
    suffix: str = ".nii.gz",
    threads: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    statistics: str | Path | None = None,
    progress: Progress | None = None,
) -> CohortResult:
    """Segments all cases of a cohort; the masks are those of :class:`~segmamba.inference.segmenter.Segmenter`.

    The folder gets a mask for each case, ``run.json`` (model, settings, cases), ``manifest.jsonl`` (a line for each
    case as it ends), ``failed.jsonl`` (those without a mask, if any) and ``statistics.csv``.  Called again, cases are
    left alone whose mask is there and whose line has the same model, settings and images.

    Args:
        cohort: Folder or list, see :func:`~segmamba.inference.cohort_list.read_cohort`.
        output: Folder for the masks; made if need be.
        model: Name or path.
        device, precision, tta, overlap: As for the segmenter.
        suffix: Of the masks, one of ``MASK_SUFFIXES``.
        threads: Of the processor; None leaves them.
        scheduler: Address of a Dask scheduler whose workers compute; they find model, images and output by the same
            paths as this process.
        overwrite: Compute all cases anew, whatever the folder holds.
        statistics: Table of all cases; None is ``statistics.csv`` in the folder.
        progress: Called with the fraction done and a message; may raise to cancel, which loses the current case alone.

    Raises:
        UserError: Nothing can be computed at all, or results cannot be written.  What is wrong with a case alone is in
            the result.
    """
    if not 0 <= overlap < 1:
        raise UserError(f"--overlap is {overlap}; it must be at least 0 and less than 1")
    bundle = models.find(model)
    found = read_cohort(cohort, [channel.name for channel in bundle.metadata.channels])
    output = Path(os.path.abspath(output))
    settings = Settings(
        str(bundle.path.resolve()),
        bundle.metadata.name,
        bundle.weights_sha256,
        device,
        precision,
        tta,
        overlap,
        threads,
    )
    result = CohortResult(output, Path(statistics or output / STATISTICS), warnings=found.warnings)
    run = _run_record(bundle, settings, suffix)
    jobs = {case.name: _job(case, output, suffix) for case in found.cases}
    _check_places(found, jobs, result.statistics)
    known = _check_folder(output, run, jobs, overwrite)
    manifest = Manifest(output / MANIFEST) if not overwrite else None
    prints = {case.name: _fingerprint(case) for case in found.cases}
    wanted: list[Job] = []
    for case in found.cases:
        line = None if manifest is None else manifest.lines.get(case.name)
        if line is not None and _is_done(line, run["run"], prints[case.name], jobs[case.name]):
            result.skipped.append(line)
        elif not case.problem:
            wanted.append(jobs[case.name])
    executor = _executor(settings, scheduler) if wanted else None  # before anything is written: it may refuse
    try:
        _begin(output, run | {"cases": sorted(known | jobs.keys())})
        if manifest is None:
            manifest = Manifest(output / MANIFEST) if not overwrite else _emptied(output / MANIFEST)

        def keep(job: Job, outcome: Outcome) -> None:
            trace = outcome.pop("traceback", None)
            if trace is not None:
                _log.error("case %s failed by a defect of the program:\n%s", job.case, trace)
            line = _line(job, outcome, run, prints[job.case])
            if line["status"] != "done":
                # What lies there is of other images or another model, and would be taken for this one's.
                with suppress(OSError):
                    Path(job.output).unlink(missing_ok=True)
            manifest.append(line)
            (result.done if line["status"] == "done" else result.failed).append(line)

        try:
            for case in found.cases:
                if case.problem:
                    keep(jobs[case.name], {"seconds": 0.0} | failed(case.problem, INPUT))
            if executor is not None:
                for job, outcome in executor.run(wanted, progress):
                    if outcome.get("kind") == SETUP:
                        raise UserError(outcome["error"])
                    keep(job, outcome)
        finally:
            _write_failed(output / FAILED, manifest, found)
    finally:
        if executor is not None:
            executor.close()
    _clean(output)
    _write_statistics(result.statistics, manifest, found, bundle)
    return result


def _executor(settings: Settings, scheduler: str | None) -> Executor:
    if scheduler is None:
        return Here(settings)
    from segmamba.inference.cohort_cluster import Cluster

    return Cluster(scheduler, settings)


def _run_record(bundle: Bundle, settings: Settings, suffix: str) -> dict:
    """What the folder is of: model and settings, with their hash."""
    own = bundle.metadata.to_dict()["segmamba"]
    decisive = {key: own.get(key) for key in _DECISIVE} | {"weights": settings.sha256}
    chosen = {
        "precision": settings.precision,
        "tta": settings.tta,
        "overlap": settings.overlap,
        "format": suffix,
    }
    text = json.dumps([decisive, chosen], sort_keys=True)
    return {
        "run": hashlib.sha256(text.encode()).hexdigest(),
        "model": bundle.metadata.name,
        "version": bundle.metadata.version,
        "sha256": settings.sha256,
        "settings": chosen,
        "segmamba": __version__,
    }


def _job(case: CohortCase, output: Path, suffix: str) -> Job:
    return Job(case.name, tuple(str(image) for image in case.images), str(output / f"{case.name}{suffix}"))


def _check_places(cohort: Cohort, jobs: dict[str, Job], statistics: Path) -> None:
    """Refuses to write over what is read."""
    read = {os.path.realpath(image) for job in jobs.values() for image in job.images} | {os.path.realpath(cohort.path)}
    folder = Path(next(iter(jobs.values())).output).parent
    written = [job.output for job in jobs.values()]
    own = [str(folder / name) for name in (RUN, MANIFEST, FAILED)]
    for path in [*written, *own, str(statistics)]:
        if os.path.realpath(path) in read:
            raise UserError(f"{path} would be written over, and is read as well; name another folder with --output")
    if os.path.realpath(statistics) in {os.path.realpath(path) for path in [*written, *own]}:
        raise UserError(f"--statistics {statistics} is the file of another result; name another file")


def _check_folder(output: Path, run: dict, jobs: dict[str, Job], overwrite: bool) -> set[str]:
    """Refuses a folder that cannot be written, is of another run, or holds masks of others.

    Returns:
        The cases that its run knows.
    """
    if not output.exists():
        if not output.parent.is_dir():
            raise UserError(f"--output {output}: the folder {output.parent} does not exist: make it first")
        return set()
    if not output.is_dir():
        raise UserError(f"--output {output} is a file; a cohort needs a folder for its masks")
    check_output(output / f"probe{MASK_SUFFIXES[0]}")
    try:
        record = read_object(output / RUN) if (output / RUN).exists() else {}
    except UserError:
        if not overwrite:
            raise
        record = {}
    if overwrite:
        return set()
    if record and record.get("run") != run["run"]:
        raise UserError(
            f"--output {output} holds results of {_described(record)}, and this is {_described(run)}; name another "
            "folder, or replace them all with --overwrite"
        )
    known = {name for name in record.get("cases", []) if isinstance(name, str)}
    foreign = [job.output for name, job in jobs.items() if name not in known and os.path.lexists(job.output)]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UserError(
            f"{foreign[0]}{more} exists and is no result of this cohort; name another folder, or replace it with "
            "--overwrite"
        )
    return known


def _described(record: dict) -> str:
    settings = record.get("settings")
    told = ", ".join(f"{key} {value}" for key, value in settings.items()) if isinstance(settings, dict) else "?"
    return f"model {record.get('model')} {record.get('version')} ({str(record.get('sha256'))[:8]}; {told})"


def _begin(output: Path, record: dict) -> None:
    try:
        output.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"--output {output} cannot be written to: {error.strerror or error}") from error
    _clean(output)
    # First of all: the masks are known as this run's even if it ends before a line of the manifest is written.
    write_text(output / RUN, json.dumps(record, indent=1) + "\n")


def _emptied(path: Path) -> Manifest:
    write_text(path, "")
    return Manifest(path)


def _clean(output: Path) -> None:
    """Removes what processes that were killed had begun to write."""
    for path in output.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _is_done(line: Line, run: str, inputs: str, job: Job) -> bool:
    same = line.get("status") == "done" and line.get("run") == run and line.get("inputs") == inputs
    return same and os.path.isfile(job.output)


def _fingerprint(case: CohortCase) -> str:
    """Hash of the images' paths, sizes and times: reading all of them would take longer than many a model."""
    entries: list[tuple] = []
    for image in case.images:
        if image.is_dir():
            files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(image) for name in names)
        else:
            files = [str(image)]
        entries.append((str(image), [_stamp(file) for file in files]))
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _stamp(file: str) -> tuple | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return file, found.st_size, found.st_mtime_ns


def _line(job: Job, outcome: Outcome, run: dict, inputs: str) -> Line:
    return {
        "case": job.case,
        "status": outcome["status"],
        "seconds": outcome.get("seconds", 0.0),
        "volumes": outcome["volumes"],
        "error": outcome["error"],
        **{key: value for key, value in outcome.items() if key not in ("status", "seconds", "volumes", "error")},
        "mask": Path(job.output).name if outcome["status"] == "done" else None,
        "images": list(job.images),
        "model": run["model"],
        "version": run["version"],
        "run": run["run"],
        "inputs": inputs,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _write_failed(path: Path, manifest: Manifest, cohort: Cohort) -> None:
    lines = [manifest.lines[case.name] for case in cohort.cases if case.name in manifest.lines]
    lines = [line for line in lines if line["status"] == "failed"]
    if lines:
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    else:
        path.unlink(missing_ok=True)


def _write_statistics(path: Path, manifest: Manifest, cohort: Cohort, bundle: Bundle) -> None:
    """A row for each label of each case that has a mask."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("case", "name", "value", "voxels", "millilitres", "percent"))
    for case in cohort.cases:
        line = manifest.lines.get(case.name)
        if line is None or line["status"] != "done":
            continue
        total = line["size"][0] * line["size"][1] * line["size"][2]
        for value, name in bundle.metadata.names.items():
            voxels = line["voxels"][name]
            row = (case.name, name, value, voxels, f"{line['volumes'][name]:.4f}", f"{100 * voxels / total:.4f}")
            writer.writerow(row)
    write_text(path, text.getvalue())
