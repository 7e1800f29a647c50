"""The phases of a job in the user's language."""

from __future__ import annotations

from slicer.i18n import tr as _

__all__ = ["phase"]


def phase(name: str) -> str:
    """The worker's name of a phase as the user reads it; a name that is not known here as it is."""
    return {
        "Starting": _("Starting"),
        "Loading model": _("Loading model"),
        "Reading": _("Reading"),
        "Preparing": _("Preparing"),
        "Segmenting": _("Segmenting"),
        "Restoring": _("Restoring"),
        "Writing": _("Writing"),
    }.get(name, name)
