"""A folder of wheels, for computers without the internet: what is in it, and the command that fills it."""

import platform
import re
from pathlib import Path

from segmamba.errors import UserError
from SegMambaSlicerLib.packages.place import python, resource
from SegMambaSlicerLib.packages.requirements import TORCH, name_of
from SegMambaSlicerLib.packages.text import _


def wheelhouse_command(folder: str | Path) -> list[str]:
    """The command that downloads every package into a folder.

    It is run on a computer with the internet that has the same system and the same version of Slicer; the folder is
    then carried over.
    """
    files = (resource("requirements.txt"), resource("requirements-optional.txt"))
    listed = [argument for file in files for argument in ("-r", str(file))]
    return [*python(), "-m", "pip", "download", "--only-binary=:all:", "--dest", str(folder), TORCH, *listed]


def names(folder: Path) -> set[str]:
    """Names of the packages of which a wheel lies in the folder."""
    return {re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower() for wheel in folder.glob("*.whl")}


def check(folder: Path, needed: list[str]) -> None:
    """Looks before pip does, for a clearer message.

    Raises:
        UserError: no folder, no wheels in it, or none of a package that is needed.
    """
    if not folder.is_dir():
        raise UserError(_("{folder} is not a folder: choose the folder of wheels").format(folder=folder))
    found = names(folder)
    if not found:
        raise UserError(_("{folder} holds no wheels (*.whl): choose the folder of wheels").format(folder=folder))
    if lacking := [name_of(requirement) for requirement in needed if name_of(requirement) not in found]:
        raise UserError(
            _("{folder} holds no wheel of {names}: fill it with the command that the README gives").format(
                folder=folder, names=", ".join(lacking)
            )
        )


def python_version() -> str:
    """3.12, for messages."""
    return ".".join(platform.python_version_tuple()[:2])
