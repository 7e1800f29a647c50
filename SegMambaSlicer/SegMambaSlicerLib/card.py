"""A model's card as rich text: what it needs, what it finds, what it was trained on and how well it did."""

from __future__ import annotations

from html import escape

from slicer.i18n import tr as _

from segmamba.bundle import Bundle

__all__ = ["card"]


def card(bundle: Bundle, source: str = "") -> str:
    """The card of an opened model package.

    Args:
        bundle: opened for its metadata; the weights are not read.
        source: where the catalogue found it: ``shipped``, ``folder`` or ``user``.

    Returns:
        HTML of the small part that Qt understands; everything from the package is escaped.
    """
    metadata = bundle.metadata
    channels = ", ".join(f"{channel.name} ({channel.modality})" for channel in metadata.channels)
    rows = [
        (_("Finds"), " &nbsp; ".join(_label(metadata, label) for label in metadata.labels)),
        (_("Needs"), escape(channels)),
        (_("Spacing"), escape(metadata.spacing_text + _field_of_view(metadata.field_of_view))),
        (_("Measured Dice"), _score(metadata)),
        (_("Trained on"), escape(_training(metadata.training))),
        (_("Licence"), escape(metadata.licence or _("not stated"))),
        (_("Network"), escape(f"{metadata.network}, {_size(bundle.size_bytes)}")),
    ]
    if metadata.attribution:
        rows.append((_("Attribution"), escape(metadata.attribution)))
    table = "".join(
        f'<tr><td style="padding-right:8px"><b>{name}</b></td><td>{value}</td></tr>' for name, value in rows
    )
    sources = {
        "shipped": _("comes with SegMamba"),
        "folder": _("from a shared folder"),
        "user": _("installed by you"),
    }
    origin = f", {escape(sources[source])}" if source in sources else ""
    return (
        f"<p><b>{escape(metadata.name)}</b> {escape(metadata.version)}{origin}<br>{escape(metadata.description)}</p>"
        f'<table cellspacing="0" cellpadding="1">{table}</table>'
    )


def _label(metadata, label) -> str:
    red, green, blue = label.colour
    score = _dice(metadata).get(label.name)
    measured = "" if score is None else f" {score:.2f}"
    # A coloured square of text: Qt's rich text knows no boxes.
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">&#9632;</span>&nbsp;{escape(label.name)}{measured}'


def _dice(metadata) -> dict[str, float]:
    values = metadata.scores.get("dice")
    return values if isinstance(values, dict) else {}


def _score(metadata) -> str:
    if metadata.mean_dice is None:
        return escape(_("not stated"))
    how = str(metadata.scores.get("how", ""))
    return f"<b>{metadata.mean_dice:.3f}</b> {escape(how)}"


def _training(training: dict) -> str:
    data = str(training.get("data") or _("not stated"))
    parts = [data]
    if training.get("cases"):
        parts.append(_("{count} cases").format(count=training["cases"]))
    if training.get("licence"):
        parts.append(str(training["licence"]))
    return ", ".join(parts)


def _field_of_view(extent: tuple[float, float] | None) -> str:
    if extent is None:
        return ""
    return _("; images of {low:g} to {high:g} mm").format(low=extent[0], high=extent[1])


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
