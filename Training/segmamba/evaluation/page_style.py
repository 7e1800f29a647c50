"""How the report's page looks."""

from segmamba.evaluation.pictures import PREDICTED, REFERENCE

STYLE = f"""
:root {{ --ink: #1f2933; --dim: #66727f; --line: #e4e8ec; --back: #f4f6f8; --warn: #b42318; --mark: #0b5cad; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--back); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }}
main {{ max-width: 1180px; margin: 0 auto; padding: 40px 24px 24px; }}
header h1 {{ margin: 0; font-size: 28px; letter-spacing: -0.02em; }}
header p {{ margin: 6px 0 0; color: var(--dim); overflow-wrap: anywhere; }}
code {{ font: 0.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--ink);
  background: #e9edf1; padding: 1px 5px; border-radius: 4px; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin: 24px 0; }}
.tiles div, section {{ background: #fff; border: 1px solid var(--line); border-radius: 12px; }}
.tiles div {{ padding: 14px 16px; display: flex; flex-direction: column; }}
.tiles b {{ font-size: 26px; line-height: 1.2; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }}
.tiles span {{ font-weight: 600; }}
small {{ display: block; font-size: 12px; line-height: 1.45; color: var(--dim); }}
section {{ padding: 22px 24px; margin: 0 0 16px; }}
h2 {{ margin: 0 0 14px; font-size: 18px; letter-spacing: -0.01em; }}
h3 {{ margin: 20px 0 10px; font-size: 15px; overflow-wrap: anywhere; }}
img {{ display: block; max-width: 100%; height: auto; }}
section > img {{ width: 100%; }}
.note {{ margin: 14px 0 0; color: var(--dim); font-size: 13px; max-width: 110ch; }}
h2 + .note {{ margin-top: 0; }}
.note + .note {{ margin-top: 4px; }}
.note + .cards {{ margin-top: 14px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; vertical-align: top; padding: 10px 8px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }}
tbody th, thead th:first-child {{ text-align: left; padding-left: 0; }}
td:last-child, thead th:last-child {{ padding-right: 0; }}
thead th {{ font-size: 12px; font-weight: 600; color: var(--dim); }}
tbody th {{ font-weight: 600; white-space: normal; overflow-wrap: anywhere; min-width: 5em; }}
tbody tr:last-child > * {{ border-bottom: 0; }}
tbody th i {{ display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 8px; }}
table.all {{ font-size: 13px; margin-top: 12px; }}
table.all th, table.all td {{ padding: 4px 12px; }}
table.all th:nth-child(2) {{ text-align: left; }}
summary {{ cursor: pointer; color: var(--mark); }}
.warn {{ color: var(--warn); }}
.pairs {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 18px 28px; }}
.pairs figure {{ margin: 0; }}
.pairs img {{ width: 100%; }}
.pairs figcaption {{ font-weight: 600; overflow-wrap: anywhere; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px; }}
.cards figure {{ margin: 0; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }}
.cards img {{ width: 100%; aspect-ratio: 1; background: #000; }}
.cards figcaption {{ padding: 10px 12px; font-size: 13px; overflow-wrap: anywhere; }}
.cards span {{ display: block; }}
.cards em {{ color: var(--warn); font-style: normal; font-weight: 600; }}
i.predicted, i.reference {{ display: inline-block; width: 18px; height: 4px; border-radius: 2px;
  vertical-align: middle; margin: 0 6px 0 12px; }}
i.predicted {{ background: {PREDICTED}; margin-left: 0; }}
i.reference {{ background: {REFERENCE}; }}
dl {{ margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: 8px 22px; font-size: 14px; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0; color: var(--dim); max-width: 90ch; }}
footer {{ color: var(--dim); font-size: 12px; text-align: center; padding: 12px 0; }}
@media (max-width: 640px) {{ dl {{ grid-template-columns: 1fr; gap: 2px; }} dd {{ margin-bottom: 10px; }} }}
@media print {{ body {{ background: #fff; }} section, .tiles div {{ break-inside: avoid; }} }}
"""
