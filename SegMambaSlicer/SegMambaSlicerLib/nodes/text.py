"""Translation of what the user reads; without Slicer's own (Slicer's core libraries alone) texts stay as written."""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text: str) -> str:
        return text


__all__ = ["_"]
