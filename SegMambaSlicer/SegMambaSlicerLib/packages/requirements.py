"""Which Python packages are needed, which are missing, and which must stay as they are; by their metadata alone."""

import importlib
import importlib.metadata
import re
from pathlib import Path

from SegMambaSlicerLib.packages.place import resource

#: By the PyTorch extension, which picks the build for the graphics card; by pip only from a folder of wheels.
TORCH = "torch>=2.6"

#: Never pinned: PyTorch itself bounds setuptools, and none of them is used by a running Slicer.
_TOOLS = {"pip", "setuptools", "wheel"}

#: What Slicer ships with itself (5.10 to 5.12): pinned whatever else is renewed.
_SHIPPED = """
    certifi cffi chardet charset-normalizer cryptography dcmqi deprecated dicomweb-client gitdb gitpython highdicom idna
    numpy packaging pillow pycparser pydicom pygithub pyjpegls pyjwt pynacl pyparsing python-dateutil requests retrying
    scipy simpleitk six smmap typing-extensions urllib3 wrapt
"""

# A version as PEP 440 has it. pip refuses a whole file of constraints for one that is none.
_VERSION = re.compile(
    r"v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?"
    r"([-_.]?dev[-_.]?\d*)?(\+[a-z0-9]+([-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)


def required() -> list[str]:
    """Everything that must be there, PyTorch first, as ``NAME>=VERSION``."""
    return [TORCH, *_read(resource("requirements.txt"))]


def optional() -> list[str]:
    """What makes things faster and may be missing."""
    return _read(resource("requirements-optional.txt"))


def missing() -> list[str]:
    """The requirements that are not fulfilled. Reads metadata, imports nothing."""
    return unfulfilled(required())


def optional_missing() -> list[str]:
    """The optional requirements that are not fulfilled. Reads metadata, imports nothing."""
    return unfulfilled(optional())


def unfulfilled(requirements: list[str]) -> list[str]:
    """Those of the requirements whose package is missing or too old."""
    # Another process has installed something in the meantime, perhaps.
    importlib.invalidate_caches()
    return [requirement for requirement in requirements if not _fulfilled(requirement)]


def name_of(requirement: str) -> str:
    """``safetensors`` of ``safetensors>=0.4``."""
    return requirement.partition(">=")[0].strip()


def installed() -> dict[str, str]:
    """Every installed package with its version; names as pip compares them (lower case, hyphens)."""
    importlib.invalidate_caches()
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        # A broken installation leaves folders of metadata without a name or a proper version.
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version and _VERSION.fullmatch(version):
            found.setdefault(_canonical(name), version)  # the first on the path is the one that is imported
    return found


def constraints(requirements: list[str]) -> str:
    """The text of a constraints file that keeps every installed package at its version.

    So NumPy, SciPy, SimpleITK, requests and all else that Slicer or other extensions brought never change. Exempt are
    the tools that install, and packages that ``requirements`` name and that are too old, with what these need and what
    needs them: an old numba could not be renewed beside its old llvmlite, nor an old torch beside its torchvision.
    What Slicer ships is exempt under no circumstances.
    """
    present = installed()
    free: set[str] = set()
    renewed = {_canonical(name_of(requirement)) for requirement in unfulfilled(requirements)} & present.keys()
    needs = {name: _needs(name) for name in present} if renewed else {}
    while dependent := {name for name in needs.keys() - renewed if needs[name] & renewed}:
        renewed |= dependent
    while renewed:
        free |= renewed
        renewed = {name for known in renewed for name in needs[known]} & present.keys() - free
    free = (free - set(_SHIPPED.split())) | _TOOLS
    return "".join(f"{name}=={version}\n" for name, version in sorted(present.items()) if name not in free)


def _needs(name: str) -> set[str]:
    """Names of the packages that an installed one cannot do without."""
    try:
        listed = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:  # a folder of metadata with another name than the package
        return set()
    found = (re.match(r"[A-Za-z0-9._-]+", need) for need in listed if "extra ==" not in need)
    return {_canonical(match[0]) for match in found if match}


def _read(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _fulfilled(requirement: str) -> bool:
    name, _, least = requirement.partition(">=")
    try:
        version = importlib.metadata.version(name.strip())
    except importlib.metadata.PackageNotFoundError:
        return False
    return version is not None and _numbers(version) >= _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 6) of 2.6.0+cu124: the release alone, without zeros at its end."""
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    numbers = [int(number) for number in match[1].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
