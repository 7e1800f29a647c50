"""Functions of slicer.packaging, with the parameters that they have in Slicer 5.12."""

import subprocess
import sys

import slicer


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    slicer.recorded["calls"].append(["pip_ensure", requirements, requester, prompt_install, prompt_restart])
    if skip_in_testing and slicer.app.testingEnabled():
        return None
    pip_install(requirements, constraints=constraints, requester=requester, show_progress=show_progress)


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    logCallback=None,
    completedCallback=None,
):
    slicer.recorded["calls"].append(["pip_install", requirements, show_progress])
    options = ["-c", str(constraints)] if constraints else []
    subprocess.run([sys.executable, "-m", "pip", "install", *requirements, *options], check=True, stdout=sys.stderr)
