"""What is installed, which scan backend each device gets and why, and what would make it faster."""

import importlib.metadata
import os
import platform
import sys

_REQUIRED = ("torch", "numpy", "SimpleITK", "safetensors", "platformdirs")  # to segment; training takes more
PACKAGES = (*_REQUIRED, "monai", "msgspec", "numba", "triton", "mamba-ssm", "causal-conv1d")


def examine() -> dict:
    """The whole report as plain values.

    Returns:
        ``system``, ``packages`` {name: version or None}, ``devices`` (a list of name, detail, backend, backends with
        usable and reason, and on CUDA convolution with the same), ``models`` (a list of name, source, problem),
        ``advice`` (sentences).
    """
    import torch

    from segmamba import __version__, models
    from segmamba.inference.devices import available_devices
    from segmamba.scan import backend_report, chosen_backend, cuda_conv

    devices = []
    for name in reversed(available_devices()):  # the processor first: everybody has one
        backends = [
            {"name": backend, "usable": usable, "reason": reason} for backend, usable, reason in backend_report(name)
        ]
        device = {"name": name, "detail": _detail(name), "backend": chosen_backend(name), "backends": backends}
        if name.startswith("cuda"):
            usable, reason = cuda_conv.report(name)
            device["convolution"] = {"name": "causal_conv1d", "usable": usable, "reason": reason}
        devices.append(device)
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
    for device in report["devices"]:
        if device["name"].startswith("cuda"):
            yield from _cuda_advice(device, report["packages"]["torch"])
    for model in report["models"]:
        if model["problem"]:
            yield f"Model {model['name']} cannot be used: {model['problem']}."


def _cuda_advice(device: dict, torch_version: str):
    """What would make the scan, and the convolution before it, faster on a CUDA device."""
    name = device["name"]
    scan = next((backend for backend in device["backends"] if backend["name"] == "mamba_ssm"), None)
    if scan and not scan["usable"] and device["backend"] in ("chunked", "reference"):
        yield f"The scan on {name} runs in plain torch, because mamba_ssm's kernels are not used: {scan['reason']}."
        yield _how_to_get("mamba-ssm", "MAMBA", "MAMBA_KEEP_CUDA_BUILD=TRUE ", scan["reason"], torch_version)
    conv = device.get("convolution")
    if conv and not conv["usable"]:
        yield f"The convolution before the scan on {name} runs in plain torch: {conv['reason']}."
        yield _how_to_get("causal-conv1d", "CAUSAL_CONV1D", "", conv["reason"], torch_version)


def _how_to_get(package: str, prefix: str, settings: str, reason: str, torch_version: str) -> str:
    """How a compiled package that makes things faster is installed, or built again."""
    if sys.platform != "linux":
        return f"There is {package} for Linux only; plain torch is what other systems have."
    if "is not installed" in reason or "without its compiled module" in reason:
        return (
            f"For its faster kernels: {settings}pip install --no-build-isolation {package}; where its makers have no "
            f"wheel for torch {torch_version}, that compiles it and needs nvcc."
        )
    return (
        f"Compile it for torch {torch_version} and this card (needs nvcc): {prefix}_FORCE_BUILD=TRUE {settings}"
        f"pip install --no-build-isolation --no-deps --no-cache-dir --force-reinstall {package}."
    )


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
