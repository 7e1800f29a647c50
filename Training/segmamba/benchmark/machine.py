"""What a measurement was made on and with: hardware, versions, revision, date, command."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from segmamba import __version__

PACKAGES = ("torch", "numpy", "numba", "llvmlite", "monai", "einops", "mamba-ssm", "triton")
#: Instruction sets that decide how fast scans and convolutions can be.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")


def describe(device: str, threads: int) -> dict:
    """Everything that a table of measurements needs beside it.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: The number that the measurements used unless they say otherwise.
    """
    processor = _processor()
    return {
        "processor": processor["name"],
        "cores": available_cores(),
        "instruction_sets": processor["flags"],
        "memory_gb": _memory_gb(),
        "device": _card() if device == "cuda" else processor["name"],
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "segmamba": __version__,
        "revision": _revision(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "compiler": _compiler(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": _command(),
    }


def lines(facts: dict) -> list[str]:
    """The same as lines of Markdown."""
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    memory = "" if facts["memory_gb"] is None else f", {facts['memory_gb']:.0f} GB"
    sets = ", ".join(facts["instruction_sets"]) or "unknown"
    revision = f" (revision {facts['revision']})" if facts["revision"] else ""
    found = [
        f"- {facts['processor']}, {facts['cores']} cores{memory}; instruction sets: {sets}",
        f"- threads: {facts['threads']}, unless a row says otherwise",
        f"- segmamba {facts['segmamba']}{revision}, Python {facts['python']}, {packages}",
        f"- {facts['system']}" + (f", {facts['compiler']}" if facts["compiler"] else ""),
        f"- {facts['date']}: `{facts['command']}`",
    ]
    if facts["device"] != facts["processor"]:
        found.insert(1, f"- {facts['device']}")
    return found


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> dict:
    name, flags = "", set()
    for line in _text("/proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and not name:
            name = value
        elif key in ("flags", "Features") and not flags:
            flags = set(value.split())
    if not name and sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string")
    return {"name": name or platform.processor() or platform.machine(), "flags": [f for f in FLAGS if f in flags]}


def _memory_gb() -> float | None:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 / 1e9
    bytes_ = _output("sysctl", "-n", "hw.memsize") if sys.platform == "darwin" else ""
    return int(bytes_) / 1e9 if bytes_.isdigit() else None


def _card() -> str:
    import torch

    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def _compiler() -> str:
    return next(iter(_output("g++", "--version").splitlines()), "")


def _revision() -> str:
    """The checkout's revision, with a plus where files differ from it; empty where there is no checkout."""
    folder = Path(__file__).resolve().parent
    revision = _output("git", "-C", str(folder), "rev-parse", "--short", "HEAD")
    # A virtual environment inside somebody's own repository is no checkout of ours.
    if not revision or not _output("git", "-C", str(folder), "ls-files", Path(__file__).name):
        return ""
    return revision + ("+" if _output("git", "-C", str(folder), "status", "--porcelain", "--", ".") else "")


def _command() -> str:
    name = Path(sys.argv[0]).name
    return shlex.join(["segmamba" if name in ("segmamba", "__main__.py", "segmamba.exe") else name, *sys.argv[1:]])


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
