"""Measures a click on Segment: ``python Testing/measure_click.py``, with ``-o FOLDER`` into click.md, .json and .png.

The phantom of Sample Data is segmented twice through the panel, on Slicer's core libraries with a stand-in for the
application. It needs what the extension's tests need, see Testing/stand_in/README.md. Nothing else should run
meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "stand_in"), str(ROOT / "Training")]

from slicer_stand_in import qt  # noqa: E402
from slicer_stand_in.user import MODEL, User, at_panel  # noqa: E402
from slicer_stand_in.user import SEED as SMALL_SEED  # noqa: E402

from segmamba.benchmark import machine, report, segment_report  # noqa: E402
from segmamba.benchmark.jobs import Outcome  # noqa: E402
from segmamba.benchmark.rows import Row  # noqa: E402
from segmamba.benchmark.segment_bench import timed  # noqa: E402

TITLE = "A click on Segment in the extension, measured"
#: A click is over when the panel can be clicked again.
ROWS = (Row("second-rest", "second click: seconds beyond the network's own", "second", "rest", 1.0, None, False, "s"),)
NOTES = """
Not in 3D Slicer: on Slicer's core libraries (real scene, segmentation and subject hierarchy; no window is drawn) with a
stand-in for the application. The panel has just been opened: at the first click the worker is still starting, and the
click waits for that; at the second the model is in memory. In each round the application starts anew.

- *Whole*: from the click on Segment until the segmentation node is chosen as output and the button can be pressed
  again. *Network*: the windows alone (`compute_seconds`). *All else*: whole less network.
- Of each click the round with the least whole time counts, and what stands beside is of that round. `worker_seconds`
  in the JSON is the job as the worker sees it; whole less that is what the application and the pipes add.
""".strip()


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where click.md, click.json and click.png go")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the network (default: all cores)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="rounds (default 3)")
    parser.add_argument("--quick", action="store_true", help="a small phantom: only shows that everything works")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--round", action="store_true", help=argparse.SUPPRESS)  # one, in a process of its own
    options = parser.parse_args()
    if not qt.available():
        parser.error(qt.MISSING)
    cores = machine.available_cores()
    options.threads = cores if options.threads is None else options.threads
    if not 1 <= options.threads <= cores or options.repeats < 1:
        parser.error(f"--threads must be 1 to {cores}, --repeats at least 1")
    if options.round:
        sys.stdout.write(json.dumps(one_round(options.threads, options.quick)) + "\n")
        return 0
    folder = None if options.output is None else report.folder_for(options.output)
    rounds = [in_its_own_process(options) for _ in range(1 if options.quick else options.repeats)]
    document = document_of(rounds, options)
    lines = segment_report.markdown(document, TITLE, NOTES)
    paths = []
    if folder is not None:
        stem = "click" + ("-quick" if options.quick else "")
        paths = report.write(folder, stem, document, lines, segment_report.draw)
    told = json.dumps(document, indent=1) if options.json else "\n".join(map(str, [*lines, *paths]))
    sys.stdout.write(told + "\n")
    return 0


def in_its_own_process(options: argparse.Namespace) -> dict[str, Any]:
    """The application starts once in a process."""
    command = [sys.executable, __file__, "--round", "--threads", str(options.threads)]
    done = subprocess.run([*command, *(["--quick"] if options.quick else [])], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def one_round(threads: int, quick: bool) -> dict[str, Any]:
    """Opens the panel and clicks twice."""
    with at_panel() as user:
        volumes = user.load_small_phantom() if quick else user.load_phantom()
        user.choose_model()
        user.parameters.threads = threads
        first, second = click(user), click(user)
        from SegMambaSlicerLib.phantom import SEED

        size = list(volumes[0].GetImageData().GetDimensions())
        spacing = [round(mm, 6) for mm in volumes[0].GetSpacing()]
        case = {"seed": SMALL_SEED if quick else SEED, "size": size, "spacing": spacing}
        return {"case": case, "first": first, "second": second}


def click(user: User) -> dict[str, Any]:
    """Clicks and waits; returns the seconds and what took them."""
    runs: list[Any] = []
    user.logic.segmenting.finished.connect(runs.append)
    began = time.perf_counter()
    user.press()
    user.wait(seconds=600)
    seconds = time.perf_counter() - began
    user.logic.segmenting.finished.disconnect(runs.append)
    if user.parameters.output is None:
        raise RuntimeError(f"{user.status}\n{user.log}")
    done = runs[0].result
    kept = ("windows", "backend", "device", "device_title", "precision", "loaded")
    values = timed(seconds, done["compute_seconds"])
    return {**values, "worker_seconds": done["seconds"], **{name: done[name] for name in kept}}


def document_of(rounds: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """As `segmamba bench segment` makes it."""
    best = {name: min((one[name] for one in rounds), key=lambda v: v["seconds"]) for name in ("first", "second")}
    device = "cuda" if best["second"]["device"].startswith("cuda") else "cpu"
    facts = machine.describe(device, options.threads)
    facts["packages"] |= {name: importlib.metadata.version(name) for name in ("slicer-core", "PySide6-Essentials")}
    facts["command"] = shlex.join(["python", "Testing/measure_click.py", *sys.argv[1:]])
    titles = {"first": "first click: the worker still starts", "second": "second click: the model is in memory"}
    return {
        "machine": facts,
        "quick": options.quick,
        "model": MODEL,
        "case": rounds[0]["case"],
        "measurements": [{"name": name, "title": titles[name], **best[name]} for name in titles],
        "rows": [row.judge(Outcome(best[row.job]), counts=not options.quick) for row in ROWS],
        "rounds": rounds,
        "problems": [],
    }


if __name__ == "__main__":
    sys.exit(main())
