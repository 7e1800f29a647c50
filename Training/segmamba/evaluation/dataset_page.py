"""What the check of a data set found as one HTML page that needs nothing else: findings, and every case's picture."""

import base64
from html import escape

from segmamba.data.checking import ERROR, NOTE, WARNING, Check, Facts
from segmamba.evaluation.page_style import STYLE
from segmamba.evaluation.thumbnails import tint

# A page that loads nothing, whatever a name in it holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MORE = """
table.findings td { text-align: left; }
table.findings td:nth-child(3) { white-space: normal; overflow-wrap: anywhere; min-width: 9em; }
table.findings td:last-child { white-space: normal; overflow-wrap: anywhere; width: 100%; }
.cards em { display: block; }
table.findings td:first-child, table.findings th { text-align: left; padding-left: 0; white-space: nowrap; }
.error { color: #b42318; font-weight: 600; } .warning { color: #8a5a00; font-weight: 600; }
.cards { grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); }
.cards figure.error { border-color: #b42318; font-weight: inherit; color: inherit; }
.cards figure.warning { border-color: #d9a441; font-weight: inherit; color: inherit; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 6px 0 14px; }
"""


def make_dataset_page(check: Check, pictures: dict[str, bytes]) -> str:
    """The page's text.

    Args:
        check: what was found.
        pictures: a PNG of every case, by its name.
    """
    dataset = check.dataset
    worst = {}
    for finding in check.findings:  # the worst come first
        if finding.case and finding.severity != NOTE:
            worst.setdefault(finding.case, finding.severity)
    sound = len(dataset.cases) - len(worst)
    tiles = (
        (len(dataset.cases), "case" if len(dataset.cases) == 1 else "cases", f"{sound} without errors and warnings"),
        (check.count(ERROR), "errors", "prevent training"),
        (check.count(WARNING), "warnings", "worth a look"),
        (len(check.pairs), "pairs", "likely of one subject"),
        (len(dataset.channels), "channel" if len(dataset.channels) == 1 else "channels", ", ".join(dataset.channels)),
        (len(dataset.labels), "overlapping regions" if dataset.regions else "labels", "without the background"),
    )
    body = [
        f"<header><h1>Data set {escape(dataset.name)}</h1><p>{escape(dataset.layout)}, "
        f"<code>{escape(str(dataset.folder))}</code></p></header>",
        "<div class=tiles>"
        + "".join(f"<div><b>{n}</b><span>{what}</span><small>{escape(more)}</small></div>" for n, what, more in tiles)
        + "</div>",
        _section("Findings", _findings(check)),
        _section("Labels", _labels(check)),
        _section("Every case", _legend(check), _cards(check, pictures, worst)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data set {escape(dataset.name)}</title>\n<style>{STYLE}{_MORE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _findings(check: Check) -> str:
    if not check.findings:
        return "<p class=note>Nothing was found.</p>"
    rows = "".join(
        f"<tr><td class={f.severity}>{f.severity}</td><td>{escape(f.kind)}</td><td>{escape(f.case)}</td>"
        f"<td>{escape(f.message)}</td></tr>"
        for f in check.findings
    )
    head = "<tr><th>severity</th><th>kind</th><th>case</th><th>finding</th></tr>"
    return f"<div class=wide><table class=findings><thead>{head}</thead><tbody>{rows}</tbody></table></div>"


def _labels(check: Check) -> str:
    rows = []
    for n, entry in enumerate(check.dataset.labels):
        found = sorted(f.volumes_ml[entry.name] for f in check.facts if f.volumes_ml and f.volumes_ml[entry.name] > 0)
        spread = (found[0], found[len(found) // 2], found[-1]) if found else ()
        cells = "".join(f"<td>{v:.4g}</td>" for v in spread) or "<td>–</td>" * 3
        rows.append(
            f"<tr><th>{_mark(n, len(check.dataset.labels))}{escape(entry.name)}</th><td>{len(found)}</td>{cells}</tr>"
        )
    head = "<tr><th>label</th><th>cases</th><th>least, ml</th><th>median, ml</th><th>most, ml</th></tr>"
    return f"<div class=wide><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"


def _legend(check: Check) -> str:
    labels = check.dataset.labels
    names = "".join(f"{_mark(n, len(labels))}{escape(entry.name)}" for n, entry in enumerate(labels))
    return f"<p class='note legend'>The slice with most of the label, of the first channel.{names}</p>"


def _mark(number: int, count: int) -> str:
    colour = ",".join(str(round(255 * part)) for part in tint(number, count))
    return f'<i style="background:rgb({colour})"></i>'


def _cards(check: Check, pictures: dict[str, bytes], worst: dict[str, str]) -> str:
    kinds: dict[str, list[str]] = {}
    for finding in check.findings:
        if finding.case and finding.severity != NOTE:
            kinds.setdefault(finding.case, []).append(finding.kind)
    # What is wrong comes first: of a thousand cases few are looked at.
    order = sorted(check.facts, key=lambda facts: (ERROR, WARNING, None).index(worst.get(facts.name)))
    return f"<div class=cards>{''.join(_card(f, pictures.get(f.name), kinds, worst.get(f.name)) for f in order)}</div>"


def _card(facts: Facts, picture: bytes | None, kinds: dict[str, list[str]], severity: str | None) -> str:
    image = ""
    if picture is not None:
        image = f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}" alt="{escape(facts.name)}">'
    told = ", ".join(dict.fromkeys(kinds.get(facts.name, ())))
    size = "" if facts.size is None else " × ".join(map(str, facts.size))
    spacing = "" if facts.spacing is None else " × ".join(f"{mm:.3g}" for mm in facts.spacing) + " mm"
    return (
        f"<figure{f' class={severity}' if severity else ''}>{image}<figcaption><b>{escape(facts.name)}</b>"
        f"{f'<em>{escape(told)}</em>' if told else ''}<small>{size}</small><small>{spacing}</small></figcaption>"
        "</figure>"
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"
