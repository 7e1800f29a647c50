"""What the user is asked: whether packages may be installed, and whether to restart after it."""

import importlib.metadata
import logging
import sys

from SegMambaSlicerLib.packages import pip
from SegMambaSlicerLib.packages.requirements import TORCH, name_of
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)

_ASKED = "SegMamba/AskedForOptionalPackages"


def may_install(needed: list[str], extra: list[str]) -> bool:
    """One question for everything. Without Slicer's application nobody can be asked: then the answer is no."""
    if pip.application() is None:
        return False
    import slicer

    parts = [
        _("SegMamba needs Python packages that are not installed yet: {names}.").format(names=_list(needed)),
    ]
    if extra:
        parts.append(_("For speed it also installs, if it can: {names}.").format(names=_list(extra)))
    if TORCH in needed:
        parts.append(_("PyTorch is downloaded in the build for this computer: 0.2 to 3 GB, some minutes."))
    parts.append(_("Packages that are installed already keep their versions. Install now?"))
    title = _("{requester} - Install Python Packages").format(requester=pip.REQUESTER)
    return bool(slicer.util.confirmOkCancelDisplay("\n\n".join(parts), title))


def may_speed_up(extra: list[str]) -> bool:
    """Asked once and remembered."""
    import qt
    import slicer

    settings = qt.QSettings()
    if settings.value(_ASKED):
        return False
    settings.setValue(_ASKED, "1")
    text = _(
        "Segmenting on the processor is several times faster with the Python package {names}. Install it now?\n\n"
        "Packages that are installed already keep their versions."
    ).format(names=_list(extra))
    return bool(slicer.util.confirmYesNoDisplay(text, pip.REQUESTER))


def offer_restart(before: dict[str, str], after: dict[str, str]) -> None:
    """Offers to restart Slicer if a package has changed under the feet of this process.

    Args:
        before, after: versions by name of package, as ``requirements.installed`` gives them.
    """
    changed = changed_in_use(before, after)
    if not changed or pip.application() is None or pip.testing():
        return
    import slicer

    logger.info("changed while in use: %s", ", ".join(changed))
    text = _(
        "{names} changed while in use, so that Slicer should be restarted before going on.\n\n"
        "Restart now? What is not saved is lost."
    ).format(names=", ".join(changed))
    if slicer.util.confirmYesNoDisplay(text, _("{requester} - Restart").format(requester=pip.REQUESTER)):
        slicer.util.restart()


def changed_in_use(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of the packages that had another version and that this process has imported."""
    changed = {name for name, version in before.items() if after.get(name, version) != version}
    if not changed:
        return []
    in_use = set()
    for module, distributions in importlib.metadata.packages_distributions().items():
        if module in sys.modules:
            in_use.update(name.replace("_", "-").replace(".", "-").lower() for name in distributions)
    return sorted(changed & in_use)


def _list(requirements: list[str]) -> str:
    return ", ".join("PyTorch" if r == TORCH else name_of(r) for r in requirements)
