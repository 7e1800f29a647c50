"""Installs what the worker needs, after asking: at first use, or from a folder of wheels without the internet."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from segmamba.errors import UserError
from SegMambaSlicerLib.packages import pip, questions, wheelhouse
from SegMambaSlicerLib.packages.checking import check_imports
from SegMambaSlicerLib.packages.environment import pip_environment
from SegMambaSlicerLib.packages.requirements import (
    TORCH,
    installed,
    missing,
    name_of,
    optional_missing,
    required,
    unfulfilled,
)
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)


def ensure(ask: bool = True) -> bool:
    """Sees to it that everything the worker needs is installed. Returns at once if it is.

    Slicer's own packages and those of other extensions keep their versions.

    Args:
        ask: asks the user first; False installs without a question.

    Returns:
        True.

    Raises:
        UserError: the user declined, or something could not be installed; the sentence says what to do.
    """
    needed = missing()
    if not needed:
        _offer_optional(ask)
        return True
    extra = optional_missing()
    if pip.testing():
        raise UserError(
            _(
                "SegMamba needs the Python packages {names}, and Slicer installs nothing while it is being tested"
            ).format(names=_names(needed))
        )
    if ask and not questions.may_install(needed, extra):
        raise UserError(
            _(
                "SegMamba cannot run without the Python packages {names}: start again and allow their installation"
            ).format(names=_names(needed))
        )
    _install(needed, extra, _from_the_internet)
    return True


def install_from_folder(folder: str | Path) -> list[str]:
    """Installs what is missing, PyTorch too, from wheels in a folder; nothing is asked of the internet.

    Args:
        folder: a folder of wheels, as the command of :func:`wheelhouse_command` fills it.

    Returns:
        the names of the packages that were missing and now are installed.

    Raises:
        UserError: the folder lacks something, or pip could not install from it.
    """
    folder = Path(folder).expanduser()
    needed, extra = missing(), optional_missing()
    wheelhouse.check(folder, needed)
    # What makes it faster is taken along if it lies there.
    extra = [requirement for requirement in extra if name_of(requirement) in wheelhouse.names(folder)]
    options = ["--no-index", "--find-links", str(folder)]

    def install(requirements: list[str], constraints: Path) -> None:
        try:
            pip.install([*options, *requirements], constraints)
        except Exception as error:
            logger.exception("pip cannot install %s from %s", requirements, folder)
            raise UserError(
                _(
                    "{names} could not be installed from {folder}: it lacks wheels for this system and Python "
                    "{python}, or for packages that they need; the Python console shows what pip says"
                ).format(names=_names(requirements), folder=folder, python=wheelhouse.python_version())
            ) from error

    before = missing() + optional_missing()
    if needed or extra:
        _install(needed, extra, install, options)
    left = missing() + optional_missing()
    return [name_of(requirement) for requirement in before if requirement not in left]


def _install(
    needed: list[str], extra: list[str], install: Callable[[list[str], Path], None], options: list[str] | None = None
) -> None:
    """Installs both lists, the second if it goes, and sees whether it worked."""
    before = installed()
    with pip_environment([*needed, *extra]) as constraints:
        if needed:
            install(needed, constraints)
        # slicer.packaging returns without a word where it installs nothing.
        if left := unfulfilled(needed):
            raise UserError(
                _("{names} are still missing after their installation: restart Slicer and try again").format(
                    names=_names(left)
                )
            )
        if extra:
            _install_optional(extra, constraints, options or [])
    importlib.invalidate_caches()
    if needed:
        check_imports([name_of(requirement) for requirement in required()])
    questions.offer_restart(before, installed())


def _from_the_internet(needed: list[str], constraints: Path) -> None:
    rest = [requirement for requirement in needed if requirement != TORCH]
    if TORCH in needed:
        _install_torch()
    if not rest:
        return
    try:
        pip.ensure(rest, constraints)
    except Exception as error:
        logger.exception("%s cannot be installed", rest)
        raise UserError(
            _(
                "{names} could not be installed (the Python console shows what pip says): check the internet "
                "connection and the proxy, or use Install packages from folder"
            ).format(names=_names(rest))
        ) from error


def _install_torch() -> None:
    """By the PyTorch extension, which picks the build for the graphics card."""
    try:
        import PyTorchUtils
    except ImportError as error:
        raise UserError(
            _(
                "The extension PyTorch is missing: install it in the Extensions Manager and restart Slicer, or use "
                "Install packages from folder"
            )
        ) from error
    try:
        with pip.busy(_("Installing PyTorch; this may take several minutes...")):
            PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch")
            )
    except Exception as error:
        logger.exception("PyTorch cannot be installed")
        raise UserError(
            _(
                "PyTorch could not be installed (the Python console shows why): check the internet connection, the "
                "proxy and the free disk space, restart Slicer if PyTorch was in use, or use Install packages from "
                "folder"
            )
        ) from error
    if unfulfilled([TORCH]):
        raise UserError(_("PyTorch was not installed: install it in the module PyTorch Utils, then start again"))


def _install_optional(extra: list[str], constraints: Path, options: list[str]) -> None:
    """What makes things faster; a failure is logged, for things run without it."""
    try:
        pip.install([*options, *extra], constraints, quiet=True)
    except Exception:
        logger.warning(
            "%s could not be installed: computing on the processor runs in plain PyTorch and is slower", _names(extra)
        )
        logger.debug("pip failed", exc_info=True)


def _offer_optional(ask: bool) -> None:
    """Asks once whether what makes things faster is to be installed; another extension may have brought the rest."""
    extra = optional_missing()
    if not extra or not ask or pip.application() is None or pip.testing() or not questions.may_speed_up(extra):
        return
    _install([], extra, pip.ensure)


def _names(requirements: list[str]) -> str:
    return ", ".join(name_of(requirement) for requirement in requirements)
