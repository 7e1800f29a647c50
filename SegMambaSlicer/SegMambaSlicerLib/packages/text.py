"""Translation of what the user reads; the text itself where there is no Slicer."""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text: str) -> str:
        return text


__all__ = ["_"]
