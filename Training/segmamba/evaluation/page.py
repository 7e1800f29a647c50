"""The report as one HTML page that needs nothing else: no script, no link, pictures within."""

import base64
from collections.abc import Callable, Sequence
from html import escape

from segmamba.evaluation.cases import Evaluation, Row
from segmamba.evaluation.figures import colour, draw_scores, draw_volumes
from segmamba.evaluation.page_style import STYLE
from segmamba.evaluation.pictures import Picture, draw_worst
from segmamba.evaluation.summary import unpredicted

# More rows than this make a page slow; all are in cases.csv.
_ROWS = 3000
# More plots of volumes than this, nobody looks at.
_VOLUMES = 24
# With more labels than this few pictures are of each: they stand together, the worst first.
_GROUPS = 6
# A page that loads nothing, whatever a name in it holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def make_page(evaluation: Evaluation, summary: dict, report: Callable[[float, str], None] | None = None) -> str:
    """The page's text.

    Args:
        evaluation: what was measured; its files are read again for the pictures of the worst cases.
        summary: of :func:`segmamba.evaluation.summary.summarise`.
        report: Called with the fraction done and a message.

    Raises:
        UserError: A mask cannot be read any more, or an image cannot.
    """
    pictures = draw_worst(evaluation, report)
    names = [label.name for label in evaluation.labels]
    body = [_head(summary), _tiles(summary)]
    found = [name for name in names if any(row.empty != "both" for row in evaluation.rows_of(name))]
    if names:
        body += [
            _section("Summary", _table(summary), _note(summary)),
            _section(
                "Every case",
                _image("svg+xml", draw_scores(evaluation), "Dice, surface Dice and HD95 of every case, by label"),
                "<p class=note>A point is a case, the diamond their mean; the box spans the quartiles, its bar is the "
                "median, and whiskers reach at most one and a half times the box's length.</p>",
            ),
            _section("Volumes", _volumes(evaluation, found[:_VOLUMES]), _omitted(found)) if found else "",
            _section("Worst cases", _worst(pictures, evaluation)),
            _section("All values", _rows(evaluation)),
        ]
    body.append(_section("How this was measured", _definitions(summary)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation of {escape(summary['predictions'])}</title>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n"
        + "\n".join(body)
        + f"\n<footer>segmamba {escape(summary['segmamba'])}, {escape(_when(summary))}. Not a medical device: for "
        "research only.</footer>\n</main>\n</body>\n</html>\n"
    )


def _head(summary: dict) -> str:
    return (
        f"<header><h1>Segmentation evaluation</h1><p><code>{escape(summary['predictions'])}</code> against "
        f"<code>{escape(summary['references'])}</code></p></header>"
    )


def _tiles(summary: dict) -> str:
    labels = summary["labels"].values()
    mean = "mean of the labels' means"
    tiles = (
        (
            str(summary["cases"]),
            "case" if summary["cases"] == 1 else "cases",
            "1 label" if len(labels) == 1 else f"{len(labels)} labels",
        ),
        (_number(summary["mean_dice"], 3), "Dice", mean),
        (_number(summary["mean_nsd"], 3), "surface Dice (NSD)", mean),
        (_number(summary["mean_hd95_mm"], 2, " mm"), "HD95", mean),
        (str(sum(label["misses"] for label in labels)), "misses", "prediction empty, reference not"),
        (str(sum(label["extra"] for label in labels)), "extra", "reference empty, prediction not"),
    )
    cells = (f"<div><b>{value}</b><span>{name}</span><small>{more}</small></div>" for value, name, more in tiles)
    return f"<div class=tiles>{''.join(cells)}</div>"


def _table(summary: dict) -> str:
    found = summary["labels"].values()
    tolerances = {label["nsd_tolerance_mm"] for label in found}
    one = f"NSD, {tolerances.pop():g} mm" if len(tolerances) == 1 else ""
    heads = ("label", "cases", "Dice", one or "NSD", "HD95, mm", "difference, ml", "relative", "misses", "extra")
    rows = []
    for n, (name, label) in enumerate(summary["labels"].items()):
        metrics = label["metrics"]
        cells = (
            str(label["measured"]) + _small(f"{label['both_empty']} in neither" if label["both_empty"] else ""),
            _metric(metrics["dice"], 3),
            _metric(metrics["nsd"], 3, more="" if one else f"within {label['nsd_tolerance_mm']:g} mm"),
            _metric(metrics["hd95_mm"], 2),
            _metric(metrics["difference_ml"], 2, sign="+"),
            _metric(metrics["relative_difference"], 1, sign="+", scale=100, unit="%"),
            _warned(label["misses"]),
            _warned(label["extra"]),
        )
        mark = f'<i style="background:{colour(n)}"></i>'
        rows.append(f"<tr><th>{mark}{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _metric(found: dict, digits: int, more: str = "", sign: str = "", scale: float = 1, unit: str = "") -> str:
    """A cell: the mean, its interval, the spread, and how many cases could not be measured."""

    def text(value: float | None, style: str = sign) -> str:
        return "–" if value is None else f"{scale * value:{style}.{digits}f}"

    lines = [more] if more else []
    if found["n"] > 1:
        lines = [
            *lines,
            f"CI {text(found['ci95'][0])} to {text(found['ci95'][1])}",
            f"median {text(found['median'])}",
            f"quartiles {text(found['q1'])} to {text(found['q3'])}",
            f"SD {text(found['std'], '')}",
        ]
    cell = f"<b>{text(found['mean'])}{unit if found['n'] else ''}</b>"
    if found["not_measurable"]:
        cell += f"<small class=warn>{found['not_measurable']} not measurable</small>"
    return cell + "".join(_small(line) for line in lines)


def _note(summary: dict) -> str:
    return (
        "<p class=note>Means over cases, with their 95% intervals (CI), medians, quartiles and standard deviations "
        "(SD); differences are prediction less reference. "
        f"<b>Empty masks</b> (policy <code>{escape(summary['empty_policy'])}</code>): {escape(summary['empty'])} "
        f"{unpredicted(summary)}</p>"
    )


def _volumes(evaluation: Evaluation, names: Sequence[str]) -> str:
    plots = (
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f"{_image('svg+xml', draw_volumes(evaluation, name), f'Volumes of {name}')}</figure>"
        for name in names
    )
    return f"<div class=pairs>{''.join(plots)}</div>"


def _omitted(names: Sequence[str]) -> str:
    more = len(names) - _VOLUMES
    return f"<p class=note>{more} more labels are not drawn; their volumes are in cases.csv.</p>" if more > 0 else ""


def _worst(pictures: Sequence[Picture], evaluation: Evaluation) -> str:
    if not pictures:
        return "<p class=note>No prediction differs from its reference.</p>"
    legend = (
        "<p class=note><i class=predicted></i>prediction <i class=reference></i>reference</p><p class=note>Drawn is "
        "the slice in which most voxels lie in one mask alone; those are tinted in that mask's colour.</p>"
    )
    shown = list(dict.fromkeys(picture.row.label for picture in pictures))
    if len(shown) > _GROUPS:
        worst_first = sorted(pictures, key=lambda picture: picture.row.counts.dice)
        return f"{legend}<div class=cards>{''.join(_card(p, evaluation, named=True) for p in worst_first)}</div>"
    groups = []
    for name in shown:
        cards = "".join(_card(picture, evaluation) for picture in pictures if picture.row.label == name)
        groups.append(f"<h3>{escape(name)}</h3><div class=cards>{cards}</div>")
    return legend + "".join(groups)


def _card(picture: Picture, evaluation: Evaluation, named: bool = False) -> str:
    row = picture.row
    scores = row.scores(evaluation.policy)
    what = {"prediction": "missed", "reference": "not in the reference"}.get(row.empty, "")
    values = (
        f"Dice <b>{_number(scores['dice'], 3)}</b> · NSD {_number(scores['nsd'], 3)} · HD95 "
        f"{_number(scores['hd95_mm'], 1, ' mm')}"
    )
    volumes = f"{row.predicted_ml:.2f} ml against {row.reference_ml:.2f} ml"
    where = f"{picture.where} · {picture.differs_mm2 / 100:.2f} cm² differ"
    label = f"<span>{escape(row.label)}</span>" if named else ""
    warned = f" <em>{what}</em>" if what else ""
    return (
        f"<figure>{_image('png', picture.png, f'{row.label} in {row.case}')}<figcaption><b>{escape(row.case)}</b>"
        f"{warned}{label}<span>{values}</span><span>{volumes}</span><small>{where}</small></figcaption></figure>"
    )


def _rows(evaluation: Evaluation) -> str:
    heads = ("case", "label", "Dice", "NSD", "HD95, mm", "prediction, ml", "reference, ml", "difference", "empty")
    head = "".join(f"<th>{text}</th>" for text in heads)
    shown = evaluation.rows[:_ROWS]
    rows = "".join(_row(row, evaluation) for row in shown)
    more = len(evaluation.rows) - len(shown)
    rest = f"<p class=note>{more} more rows are in cases.csv.</p>" if more else ""
    return (
        f"<details><summary>{len(evaluation.rows)} rows, as in cases.csv</summary><div class=wide><table class=all>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{rest}</details>"
    )


def _row(row: Row, evaluation: Evaluation) -> str:
    scores = row.scores(evaluation.policy)
    relative = scores["relative_difference"]
    cells = (
        _number(scores["dice"], 3),
        _number(scores["nsd"], 3),
        _number(scores["hd95_mm"], 2),
        f"{row.predicted_ml:.3f}",
        f"{row.reference_ml:.3f}",
        "–" if relative is None else f"{100 * relative:+.1f}%",
        "" if row.empty == "no" else row.empty,
    )
    values = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{escape(row.case)}</th><th>{escape(row.label)}</th>{values}</tr>"


def _definitions(summary: dict) -> str:
    names = {"dice": "Dice", "surface": "Surface", "hd95_mm": "HD95", "nsd": "NSD"}
    names |= {"difference_ml": "Volume difference", "relative_difference": "Relative difference"}
    found = [(names[key], text) for key, text in summary["definitions"].items()]
    found += [("Empty masks", summary["empty"]), ("Intervals", summary["interval"])]
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in found)}</dl>"


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


def _image(kind: str, data: bytes, text: str) -> str:
    return f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(text)}">'


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def _small(text: str) -> str:
    return f"<small>{text}</small>" if text else ""


def _warned(count: int) -> str:
    return f"<b class=warn>{count}</b>" if count else "0"


def _when(summary: dict) -> str:
    return summary["date"].replace("T", " ")[:16]
