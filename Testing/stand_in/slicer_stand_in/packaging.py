"""Stand-in of slicer.packaging: nothing is ever installed; requests are recorded and answered as the test says.

With real sources (`--slicer-source`) `guard` puts the same recording in place of pip itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Request:
    """One call that would have run pip."""

    kind: str
    requirements: list[str]
    options: dict[str, Any] = field(default_factory=dict)


requests: list[Request] = []
failure: str | None = None  # pip's output when the next installation is to fail
on_install: Callable[[list[str]], None] | None = None  # what "installing" does: put a fake package on the path, say


def reset() -> None:
    """Forgets requests and answers."""
    global failure, on_install
    requests.clear()
    failure = None
    on_install = None


def _as_list(requirements: Any) -> list[str]:
    if isinstance(requirements, str):
        return requirements.split()
    if isinstance(requirements, (list, tuple)):
        return [str(one) for one in requirements]
    return [str(requirements)]


def load_requirements(path: str | Path) -> list[Any]:
    """The requirements of a requirements.txt: comments, empty lines and pip's options are left out."""
    from packaging.requirements import Requirement

    found = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        line = line.split(" #")[0].strip()
        if line and not line.startswith(("#", "-")):
            found.append(Requirement(line))
    return found


def pip_check(requirements: Any) -> bool:
    """Whether all requirements are met by what is installed, from metadata alone."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    many = requirements if isinstance(requirements, (list, tuple)) else [requirements]
    for one in many:
        one = Requirement(one) if isinstance(one, str) else one
        if one.marker is not None and not one.marker.evaluate():
            continue
        try:
            if not one.specifier.contains(version(one.name), prereleases=True):
                return False
        except PackageNotFoundError:
            return False
    return True


def pip_ensure(
    requirements: Any,
    constraints: Any = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Asks, then "installs" what is missing; under testing it returns without doing anything, as Slicer's does.

    Raises:
        RuntimeError: if the user declines.
        subprocess.CalledProcessError: if pip is told to fail.
    """
    import slicer

    many = requirements if isinstance(requirements, (list, tuple)) else _as_list(requirements)
    missing = [str(one) for one in many if not pip_check(one)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    if prompt_install:
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        text = f"{len(missing)} Python package(s) need to be installed. This will modify Slicer's Python environment."
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(missing)):
            raise RuntimeError("User declined package installation")
    return pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)


def pip_install(requirements: Any, constraints: Any = None, **options: Any) -> list[str] | None:
    """Records what would be installed.

    Raises:
        subprocess.CalledProcessError: if `failure` says so.
    """
    entry = Request("install", _as_list(requirements), {"constraints": constraints, **options})
    requests.append(entry)
    if failure is not None:
        raise subprocess.CalledProcessError(1, ["pip", "install", *entry.requirements], output=failure)
    if on_install is not None:
        on_install(entry.requirements)
    return None


def pip_uninstall(requirements: Any, **options: Any) -> None:
    """Records what would be removed."""
    requests.append(Request("uninstall", _as_list(requirements), options))


def guard(real: Any) -> None:
    """Makes the real slicer.packaging record instead of running pip."""
    real.pip_install = pip_install
    real.pip_uninstall = pip_uninstall
