"""Coded names of structures as 3D Slicer writes them; standard library only, for the extension reads them too."""

from __future__ import annotations

# Slicer's own lists, in which it looks for the entries.
_CATEGORIES = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMY = "Anatomic codes - DICOM master list"


def terminology_entry(terminology: dict | None) -> str:
    """Slicer's text of a standard terminology.

    It reads list~category~type~modifier~list~region~modifier, every code as scheme^value^meaning.

    Args:
        terminology: "category", "type", "type_modifier", "anatomic_region" and "anatomic_region_modifier", each a
            dict of CodingSchemeDesignator, CodeValue and CodeMeaning, or None; and "context" and
            "anatomic_context", the names of the lists.
    """
    if not terminology:
        return ""

    def code(key: str) -> str:
        entry = terminology.get(key) or {}
        return "^".join(_safe(entry.get(f, "")) for f in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning"))

    return "~".join(
        [
            _safe(terminology.get("context") or _CATEGORIES),
            code("category"),
            code("type"),
            code("type_modifier"),
            _safe(terminology.get("anatomic_context") or _ANATOMY),
            code("anatomic_region"),
            code("anatomic_region_modifier"),
        ]
    )


def _safe(text: str) -> str:
    """A part of a terminology entry without the characters that part it from the next."""
    return str(text).translate(str.maketrans("~^|", "---"))
