"""What is installed, which scan backend each device gets and why, and what would make it faster."""

import importlib.metadata
import os
import platform
import sys

PACKAGES = ("torch", "numpy", "numba", "monai", "SimpleITK", "safetensors", "msgspec", "triton", "mamba-ssm")
_REQUIRED = ("torch", "numpy", "monai", "SimpleITK", "safetensors", "msgspec")


def examine() -> dict:
    """The whole report as plain values.

    Returns:
        ``system``, ``packages`` {name: version or None}, ``devices`` (a list of name, detail, backend and backends
        with usable and reason), ``models`` (a list of name, source, problem), ``advice`` (sentences).
    """
    import torch

    from segmamba import __version__, models
    from segmamba.inference.devices import available_devices
    from segmamba.scan import backend_report, chosen_backend

    devices = []
    for name in reversed(available_devices()):  # the processor first: everybody has one
        backends = [
            {"name": backend, "usable": usable, "reason": reason} for backend, usable, reason in backend_report(name)
        ]
        devices.append({"name": name, "detail": _detail(name), "backend": chosen_backend(name), "backends": backends})
    packages = {name: _version(name) for name in PACKAGES}
    report = {
        "system": {
            "segmamba": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "packages": packages,
        "devices": devices,
        "models": [{"name": e.name, "source": e.source, "problem": e.problem} for e in models.entries()],
    }
    report["advice"] = list(_advice(report))
    return report


def _advice(report: dict):
    devices = {device["name"]: device for device in report["devices"]}
    missing = [name for name in _REQUIRED if report["packages"][name] is None]
    if missing:
        yield f"Install {', '.join(missing)}: pip install {' '.join(missing)}."
    if devices["cpu"]["backend"] != "numba":
        if report["packages"]["numba"] is None:
            yield "Install numba (pip install numba): the scan on the processor is then many times as fast."
        else:
            reason = next(b["reason"] for b in devices["cpu"]["backends"] if b["name"] == "numba")
            yield f"The scan on the processor is many times slower than it could be: numba {reason}."
    if not any(name.startswith("cuda") or name == "mps" for name in devices):
        yield (
            "No CUDA device is visible to torch: everything runs on the processor. With an NVIDIA card, install the "
            "CUDA build of torch for your driver (see pytorch.org)."
        )
    for model in report["models"]:
        if model["problem"]:
            yield f"Model {model['name']} cannot be used: {model['problem']}."


def _detail(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    return _processor() if device == "cpu" else "Apple GPU"


def _processor() -> str:
    """Name of the processor, as far as the system tells."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as file:
                for line in file:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
