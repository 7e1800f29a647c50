"""The rows of ``segmamba bench scan`` and the measurements that they come from."""

from dataclasses import dataclass, field

from segmamba.benchmark.rows import Row

#: (channels, tokens) of SegMamba's stages on a 128 x 128 x 128 patch.
STAGES = ((96, 262144), (192, 32768), (384, 4096), (768, 512))


@dataclass(frozen=True)
class Job:
    """A measurement: a function of this package (``module:name``), its arguments, and small ones for ``--quick``."""

    name: str
    measure: str
    arguments: dict
    quick: dict = field(default_factory=dict)
    threads: int = 1
    devices: tuple[str, ...] = ("cpu",)
    starts: bool = False


def plan(threads: int, repeats: int, device: str, library: str | None, full: bool) -> tuple[list[Job], list[Row]]:
    """Measurements and rows, in the order of the table.

    Args:
        threads: For what is not measured on one thread.
        repeats: Rounds of each comparison.
        device: ``cpu`` or ``cuda``.
        library: A compiled yardstick to use instead of ours.
        full: Also what takes minutes for a single row.
    """
    jobs: list[Job] = []
    rows: list[Row] = []
    _references(jobs, rows, repeats)
    _yardsticks(jobs, rows, repeats, threads, library)
    _scaling(jobs, rows, repeats)
    _memory_and_errors(jobs, rows, repeats, device)
    _starts(jobs, rows)
    _networks(jobs, rows, threads, full)
    _backends(jobs, rows, repeats, device)
    return jobs, rows


def _references(jobs: list[Job], rows: list[Row], repeats: int) -> None:
    for suffix, channels, length, limits in (
        ("", 96, 16384, (80, 140, 60, 100)),
        ("-deep", 768, 512, (30, 55, 20, 35)),
    ):
        job = f"reference{suffix}"
        arguments = {"channels": channels, "length": length, "repeats": repeats}
        quick = {"channels": 16, "length": 128, "repeats": 1}
        jobs.append(Job(job, "scan_speed:against_reference", arguments, quick))
        at = f"{channels} x {length}, one thread"
        must, goal, must_both, goal_both = limits
        rows += [
            Row(f"forward{suffix}", f"forward against the reference loop, {at}", job, "forward_published", must, goal),
            Row(
                f"training{suffix}", f"forward+backward against the unbind reference, {at}", job, "training_published",
                must_both, goal_both,
            ),
            Row(f"forward-definition{suffix}", f"forward against our backend `reference`, {at}", job, "forward"),
            Row(
                f"training-definition{suffix}", f"forward+backward against our backend `reference`, {at}", job,
                "training",
            ),
        ]  # fmt: skip


def _yardsticks(jobs: list[Job], rows: list[Row], repeats: int, threads: int, library: str | None) -> None:
    for count in dict.fromkeys((1, threads)):
        for stage, (channels, length) in enumerate(STAGES):
            job = f"yardstick-{stage}-{count}"
            # The short ones are timed more often: they are through in no time, and noisier.
            rounds = repeats if stage == 0 else 4 * repeats
            arguments = {"channels": channels, "length": length, "repeats": rounds, "library": library}
            quick = {"channels": 32, "length": 256, "repeats": 1, "library": library}
            jobs.append(Job(job, "scan_speed:against_yardstick", arguments, quick, count))
            for way in ("forward", "backward"):
                name = f"yardstick-{way}-{stage}" + ("" if count == 1 else f"-{count}-threads")
                at = f"{channels} x {length}, {'one thread' if count == 1 else f'{count} threads'}"
                rows.append(Row(name, f"speed against the C++ yardstick, {way}, {at}", job, way, 0.75, 0.95))


def _scaling(jobs: list[Job], rows: list[Row], repeats: int) -> None:
    arguments = {"channels": 96, "length": 262144, "repeats": repeats}
    quick = {"channels": 32, "length": 256, "repeats": 1}
    jobs.append(Job("threads", "scan_speed:over_threads", arguments, quick))
    rows += [
        Row("threads-forward", "one to two threads, forward, 96 x 262144", "threads", "forward", 1.4, 1.65),
        Row("threads-backward", "one to two threads, backward, 96 x 262144", "threads", "backward", 1.5, 1.8),
    ]
    arguments = {"channels": 96, "length": 65536, "repeats": repeats}
    jobs.append(Job("zeros", "scan_speed:over_zeros", arguments, quick))
    for way, what in (("forward", "forward"), ("backward", "backward, the adjoint fading too")):
        text = f"time on a zero tail against normal, {what}, 96 x 65536, one thread"
        rows.append(Row(f"zeros-{way}", text, "zeros", way, 1.1, 1.0, more=False))


def _memory_and_errors(jobs: list[Job], rows: list[Row], repeats: int, device: str) -> None:
    both = ("cpu", "cuda")
    arguments = {"channels": 96, "length": 262144, "device": device}
    quick = {"channels": 32, "length": 4096, "device": device}
    jobs.append(Job("memory", "scan_memory:memory", arguments, quick, 1, both))
    rows += [
        Row(
            "memory-inference", "inference memory beyond inputs and output (and as a share of the output), 96 x 262144",
            "memory", "inference", 0.05, 2e6, False, "%", "inference_bytes", "MB",
        ),
        Row(
            "memory-training", "training memory beyond inputs, output, gradients, in (B, L, D) tensors, 96 x 262144",
            "memory", "training", 0.6, 0.5, False, "",
        ),
    ]  # fmt: skip
    arguments = {"channels": 96, "length": 16384, "device": device}
    jobs.append(
        Job("errors", "scan_memory:errors", arguments, {"channels": 16, "length": 128, "device": device}, 1, both)
    )
    rows += [
        Row(
            "error-output", "relative error against float64, output, 96 x 16384", "errors", "output",
            1e-6, 3e-7, False, "e",
        ),
        Row(
            "error-gradients", "relative error against float64, worst gradient, 96 x 16384", "errors", "gradients",
            1e-5, 3e-6, False, "e",
        ),
    ]  # fmt: skip


def _starts(jobs: list[Job], rows: list[Row]) -> None:
    for suffix, what, of in (("", "scan", "a scan"), ("-network", "network", "a small SegMamba")):
        job = f"start{suffix}"
        jobs.append(Job(job, "scan_network:start", {"what": what}, starts=True))
        limits = (10.0, 0.5) if what == "scan" else (None, None)
        rows += [
            Row(
                f"compile{suffix}", f"first use of {of} on a machine: compiling", job, "first", limits[0],
                None, False, "s",
            ),
            Row(
                f"cached{suffix}", f"first use of {of} in a process, code kept", job, "cached", limits[1],
                None if limits[1] is None else 0.25, False, "s",
            ),
        ]  # fmt: skip


def _networks(jobs: list[Job], rows: list[Row], threads: int, full: bool) -> None:
    small = {"size": 16, "options": {"feat_size": [8, 8, 8, 8], "hidden_size": 8}, "repeats": 1}
    arguments = {"size": 128, "options": {}, "repeats": 2}
    jobs.append(Job("share", "scan_network:share", arguments, small, threads))
    text = "Mamba layers' share of SegMamba's 128 x 128 x 128 forward, float32"
    rows.append(Row("share", text, "share", "share", 0.15, 0.07, False, "%"))
    if full:
        jobs.append(Job("whole", "scan_network:whole", arguments, small, threads))
    text = "whole SegMamba 128 x 128 x 128 forward against the same with {}, float32"
    rows += [
        Row("whole", text.format("reference loops"), "whole", "published", 6, 9),
        Row("whole-own", text.format("our backend `reference`"), "whole", "ratio"),
    ]


def _backends(jobs: list[Job], rows: list[Row], repeats: int, device: str) -> None:
    arguments = {"channels": 96, "length": 16384, "repeats": repeats, "device": device}
    quick = {"channels": 16, "length": 128, "repeats": 1, "device": device}
    jobs.append(Job("backends", "scan_speed:over_backends", arguments, quick, 1, ("cpu", "cuda")))
    for way, what in (("forward", "forward"), ("training", "forward+backward")):
        text = f"time of backend `chunked` against `numba`, {what}, 96 x 16384, one thread"
        rows.append(Row(f"chunked-{way}", text, "backends", way, 25, None, False))
