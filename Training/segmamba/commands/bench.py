"""``segmamba bench``: measurements of this machine, side by side."""

import argparse
from pathlib import Path

from segmamba.benchmark.peers import NAMES
from segmamba.commands.demo import MODEL, SEED
from segmamba.commands.output import add_json, add_progress, print_json, print_table, progress_shown, say
from segmamba.errors import UserError

_SCAN = """Measure the selective scan on this machine against its goals: reference loops, plain C++, threads, memory,
padding, exactness, compiling, its share of SegMamba. About 10 minutes on two cores; --full adds about 5. Nothing else
should run meanwhile: a busy machine makes every figure worse."""
_NETWORKS = """Count and measure the networks of this package and MONAI's: parameters, multiply-adds with the scan
counted, seconds and peak memory of a forward and of a training step, in float32 and bf16 and in both memory layouts.
Everything takes about 45 minutes on two cores with AMX, of which 4x128 takes two thirds; --count-only a minute. Nothing
else should run meanwhile."""
_SEGMENT = """Measure a case from the request to its files: the demo's phantom through the process that serves 3D
Slicer, cold and warm, and by the command `segmamba segment`, with the network's own seconds beside. About half a minute
a round on two cores. Nothing else should run meanwhile."""
_SHAPES, _QUICK_SHAPES = ["4x128", "1x96"], ["1x64:2"]


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command with its own sub-commands."""
    parser = commands.add_parser("bench", help="measure: scan, networks, segment", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    scan = actions.add_parser("scan", help="the selective scan against its goals", description=_SCAN)
    _add_common(scan, repeats=7)
    scan.add_argument("--only", nargs="+", default=[], metavar="ROW", help="these rows (names as in the JSON)")
    scan.add_argument("--full", action="store_true", help="also a whole SegMamba with reference scans: minutes")
    scan.add_argument("--yardstick", metavar="LIBRARY", help="a compiled yardstick of the same interface as ours")
    networks = actions.add_parser("networks", help="ours and others', counted and measured", description=_NETWORKS)
    _add_common(networks, repeats=2)
    networks.add_argument(
        "--network", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=f"these of {', '.join(NAMES)}"
    )
    networks.add_argument(
        "--shape", nargs="+", metavar="CxN", help=f"channels and edge, with :CLASSES (default {' '.join(_SHAPES)})"
    )
    networks.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"], help="of these")
    networks.add_argument("--layout", nargs="+", choices=("first", "last"), default=["first", "last"], help="of these")
    networks.add_argument("--forward-only", action="store_true", help="no training steps: about half the time")
    networks.add_argument("--count-only", action="store_true", help="only parameters and multiply-adds")
    networks.add_argument(
        "--model", metavar="NAME|FOLDER|ZIP", help="a SegMamba trained on phantoms, for the Dice between precisions"
    )
    networks.add_argument(
        "--steps", type=int, default=100, metavar="N", help="of the short training in place of --model (default 100)"
    )
    segment = actions.add_parser("segment", help="a case through the worker and by the command", description=_SEGMENT)
    _add_common(segment, repeats=3)
    segment.add_argument(
        "--model", default=MODEL, metavar="NAME|FOLDER|ZIP", help=f"one of the phantom's channels (default {MODEL})"
    )
    return parser


def _add_common(parser, repeats: int) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        help="where Markdown, JSON and the picture go (default: Training/benchmarks/results in a checkout, else here; "
        "without -o nothing is written where only a part is measured)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: all cores)")
    parser.add_argument("--repeats", type=int, default=repeats, metavar="N", help=f"rounds (default {repeats})")
    parser.add_argument("--quick", action="store_true", help="small sizes, which only show that everything works")
    add_progress(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.benchmark.machine import available_cores

    cores = available_cores()
    if options.threads is None:
        options.threads = cores
    if not 1 <= options.threads <= cores:
        raise UserError(f"--threads is {options.threads}; it must be 1 to {cores}, the cores that are here")
    if options.repeats < 1:
        raise UserError(f"--repeats is {options.repeats}; it must be at least 1")
    if options.device == "cuda":
        from segmamba.inference.devices import resolve_device

        resolve_device("cuda")
    return {"scan": _scan, "networks": _networks, "segment": _segment}[options.action](options)


def _scan(options: argparse.Namespace) -> int:
    from segmamba.benchmark.scan_bench import run_scan
    from segmamba.benchmark.scan_report import HEADINGS, draw, markdown

    if options.yardstick is not None and not Path(options.yardstick).is_file():
        raise UserError(f"--yardstick {options.yardstick}: there is no such file")
    write = _writer(options, "scan", part=bool(options.only))
    with progress_shown(options.progress) as report:
        document = run_scan(
            options.threads,
            options.repeats,
            options.device,
            options.only,
            options.quick,
            options.full,
            None if options.yardstick is None else str(Path(options.yardstick).resolve()),
            report,
        )
    paths = write(document, markdown(document), draw)
    if options.json:
        print_json(document)
        return 0
    rows = [[row["row"], row["measured"], row["must"], row["goal"], row["verdict"]] for row in document["rows"]]
    print_table([list(HEADINGS), *rows], right=(1,))
    _tell(paths)
    return 0


def _networks(options: argparse.Namespace) -> int:
    from segmamba.benchmark.shapes import parse_shape

    shapes = [parse_shape(text) for text in options.shape or (_QUICK_SHAPES if options.quick else _SHAPES)]
    if options.steps < 0:
        raise UserError(f"--steps is {options.steps}; it must be 0 or more")
    if options.model is not None:
        _check_model(options.model)

    from segmamba.benchmark.network_bench import run_networks
    from segmamba.benchmark.network_report import (
        COUNT_HEADINGS,
        GOAL_HEADINGS,
        count_rows,
        draw,
        markdown,
        problems,
        time_rows,
    )

    whole = (list(NAMES), None, ["fp32", "bf16"], ["first", "last"], False, False)
    chosen = (options.network, options.shape, options.precision, options.layout)
    write = _writer(options, "networks", part=(*chosen, options.forward_only, options.count_only) != whole)
    with progress_shown(options.progress) as report:
        document = run_networks(
            list(dict.fromkeys(options.network)),
            list(dict.fromkeys(shapes)),
            list(dict.fromkeys(options.precision)),
            list(dict.fromkeys(options.layout)),
            options.threads,
            1 if options.quick else options.repeats,
            options.device,
            options.forward_only,
            options.count_only,
            model=options.model,
            steps=options.steps,
            progress=report,
        )
    paths = write(document, markdown(document), draw)
    if options.json:
        print_json(document)
        return 0
    for shape in document["shapes"]:
        say(f"{shape['title']}\n")
        print_table([list(COUNT_HEADINGS), *count_rows(document, shape["name"])], right=(1, 2, 3, 4))
        for way, title in (("forward", "forward"), ("training", "forward and backward")):
            headings, rows = time_rows(document, shape["name"], way)
            if rows:
                say(f"\n{title}: seconds, peak memory\n")
                print_table([headings, *rows], right=tuple(range(1, len(headings))))
        say()
    for reason in problems(document):
        say(f"no figure for {reason}")
    if document["goals"]:
        rows = [[row["row"], row["measured"], row["must"], row["goal"], row["verdict"]] for row in document["goals"]]
        print_table([list(GOAL_HEADINGS), *rows], right=(1,))
        say()
    for claim in document["claims"]:
        say(f"{claim['network']}: {claim['claim']} ({claim['source']}). Here: {claim['here']}. {claim['remark']}")
    _tell(paths)
    return 0


def _segment(options: argparse.Namespace) -> int:
    from segmamba.benchmark.segment_bench import check_model, run_segment
    from segmamba.benchmark.segment_report import GOAL_HEADINGS, HEADINGS, case, draw, goal_rows, markdown, time_rows

    check_model(options.model)
    write = _writer(options, "segment", part=options.model != MODEL)
    repeats = 1 if options.quick else options.repeats
    with progress_shown(options.progress) as report:
        document = run_segment(
            options.model, SEED, options.threads, repeats, options.device, options.quick, progress=report
        )
    paths = write(document, markdown(document), draw)
    if options.json:
        print_json(document)
        return 0
    say(f"{case(document)}\n")
    print_table([list(HEADINGS), *time_rows(document)], right=(1, 2, 3))
    say()
    print_table([list(GOAL_HEADINGS), *goal_rows(document)], right=(1,))
    for problem in document["problems"]:
        say(problem)
    _tell(paths)
    return 0


def _check_model(name: str) -> None:
    from segmamba import models

    metadata = models.find(name).metadata
    if metadata.network != "segmamba" or len(metadata.channels) != 4:
        raise UserError(
            f"--model {name} is a {metadata.network} of {len(metadata.channels)} channels; give a segmamba trained on "
            "the four channels of `segmamba data phantom`"
        )


def _writer(options: argparse.Namespace, stem: str, part: bool):
    """A function that writes the three files; the folder is made now, before anything takes its time."""
    from segmamba.benchmark import report

    if options.output is None and (part or options.quick):
        # A part, or figures that mean nothing, must not take the place of the whole.
        return lambda *_: []
    folder = report.folder_for(options.output)
    stem += ("" if options.device == "cpu" else "-cuda") + ("-quick" if options.quick else "")
    return lambda document, lines, draw: report.write(folder, stem, document, lines, draw)


def _tell(paths: list[Path]) -> None:
    for path in paths:
        say(str(path))
