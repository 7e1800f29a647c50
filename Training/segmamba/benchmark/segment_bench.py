"""``segmamba bench segment``: a case from the request to its files, through the worker's process and by the command."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmamba import models
from segmamba.benchmark import machine
from segmamba.benchmark.jobs import NotMeasured, Outcome
from segmamba.benchmark.rows import Row
from segmamba.benchmark.worker_client import Worker, surroundings
from segmamba.data import phantom
from segmamba.errors import UserError

#: What is measured of a round, by name.
WAYS = {
    "first": "worker, first job: the process starts, imports torch, loads the model",
    "second": "worker, second job: all that is in memory",
    "command": "`segmamba segment`: the whole command, from .nii.gz to .seg.nrrd",
}
ROWS = (
    Row("second-rest", "worker, second job: seconds beyond the network's own", "second", "rest", 1.0, None, False, "s"),
    Row("answer", "worker: seconds from its start to its first answer", "answer", "seconds", None, None, False, "s"),
)
_QUICK = {"size": (20, 24, 20), "spacing": (4.0, 4.0, 4.0)}


def run_segment(
    model: str,
    seed: int,
    threads: int,
    repeats: int,
    device: str = "cpu",
    quick: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> dict:
    """Measures.

    Args:
        model: Name or path of a model that takes a phantom's four channels.
        seed: Of the phantom.
        threads: Processor threads of the network.
        repeats: Rounds; in each a worker is started anew. The least whole time of each way counts.
        device: ``cpu`` or ``cuda``.
        quick: A small phantom, no verdicts: to see that everything works.
        progress: Takes a fraction and what is being measured.

    Returns:
        ``machine``, ``model``, ``case``, ``measurements`` (name, title, seconds, compute_seconds and rest, which is
        all but those), ``rows`` (as in ``Row.judge``), ``rounds`` (every value), ``problems``, ``quick``.

    Raises:
        UserError: There is no such model, or it takes other images.
    """
    check_model(model)
    facts = machine.describe(device, threads)
    case = phantom.draw(seed, **(_QUICK if quick else {}))
    rounds: list[dict] = []
    problem = ""
    with tempfile.TemporaryDirectory() as folder:
        files = _Files(case, Path(folder))
        for number in range(repeats):
            try:
                rounds.append(_round(files, model, threads, device, number / repeats, 1 / repeats, progress))
            except NotMeasured as error:
                problem = str(error)
                break
    if progress is not None:
        progress(1.0, "measured")
    outcomes = _outcomes(rounds, problem)
    grid = case.images[0]
    return {
        "machine": facts,
        "quick": quick,
        "model": models.find(model).metadata.name,
        "case": {"seed": seed, "size": list(grid.GetSize()), "spacing": list(grid.GetSpacing())},
        "measurements": [
            {"name": name, "title": title, **outcomes[name].values}
            for name, title in WAYS.items()
            if outcomes[name].values
        ],
        "rows": [row.judge(outcomes[row.job], counts=not quick) for row in ROWS],
        "rounds": rounds,
        "problems": [problem] if problem else [],
    }


def check_model(model: str) -> None:
    """Refuses a model that takes other images than a phantom's."""
    channels = [channel.name for channel in models.find(model).metadata.channels]
    if channels != list(phantom.CHANNELS):
        raise UserError(
            f"--model {model} takes {', '.join(channels)}; give a model of the phantom's channels, "
            f"{', '.join(phantom.CHANNELS)}"
        )


def timed(seconds: float, compute_seconds: float | None) -> dict:
    """The values of a measurement."""
    rest = None if compute_seconds is None else seconds - compute_seconds
    return {"seconds": seconds, "compute_seconds": compute_seconds, "rest": rest}


class _Files:
    """The case as a program hands it over, and as people keep it."""

    def __init__(self, case: phantom.Phantom, folder: Path) -> None:
        import SimpleITK as sitk

        from segmamba import images

        self.volumes, self.paths = [], []
        for name, image in zip(case.channel_names, case.images, strict=True):
            array = folder / f"{name}.npy"
            np.save(array, sitk.GetArrayViewFromImage(image))
            self.volumes.append(
                {
                    "array": str(array),
                    "origin": image.GetOrigin(),
                    "spacing": image.GetSpacing(),
                    "direction": image.GetDirection(),
                    "name": name,
                }
            )
            self.paths.append(str(folder / f"{name}.nii.gz"))
            images.write_image(image, self.paths[-1])
        self.labels, self.mask = str(folder / "labels.npy"), str(folder / "mask.seg.nrrd")


def _round(files: _Files, model: str, threads: int, device: str, done: float, part: float, progress) -> dict:
    def tell(step: int, what: str) -> None:
        if progress is not None:
            progress(done + part * step / len(WAYS), f"measuring {what}")

    job = {"model": model, "images": files.volumes, "output": {"labels": files.labels}}
    job |= {"threads": threads, "device": device}
    found = {}
    tell(0, "the worker's first job")
    with Worker() as worker:
        worker.ask("ping")
        found["answer"] = {"seconds": time.perf_counter() - worker.began}
        answer = worker.ask("segment", **job)
        found["first"] = _of_job(time.perf_counter() - worker.began, answer)
        tell(1, "the worker's second job")
        began = time.perf_counter()
        answer = worker.ask("segment", **job)
        found["second"] = _of_job(time.perf_counter() - began, answer)
    tell(2, "the command line")
    command = [sys.executable, "-m", "segmamba", "segment", *files.paths, "-o", files.mask, "--model", model]
    command += ["--threads", str(threads), "--device", device, "--progress", "none", "--json"]
    began = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True, env=surroundings())
    whole = time.perf_counter() - began
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        raise NotMeasured(f"failed: segmamba segment: {lines[-1][:200] if lines else 'no message'}")
    account = json.loads(process.stdout)
    if account["voxels"] != answer["voxels"]:
        raise NotMeasured("failed: the worker and the command line do not find the same")
    found["command"] = {**timed(whole, None), "case_seconds": account["seconds"]}
    return found


def _of_job(seconds: float, answer: dict) -> dict:
    kept = ("windows", "backend", "device_title", "precision", "loaded")
    values = timed(seconds, answer["compute_seconds"])
    return {**values, "worker_seconds": answer["seconds"], **{name: answer[name] for name in kept}}


def _outcomes(rounds: list[dict], problem: str) -> dict[str, Outcome]:
    """Of each way the round with the least whole time."""
    names = (*WAYS, "answer")
    if not rounds:
        return dict.fromkeys(names, Outcome(problem=problem))
    return {name: Outcome(min((one[name] for one in rounds), key=lambda values: values["seconds"])) for name in names}
