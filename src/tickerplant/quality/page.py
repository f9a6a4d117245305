"""The report as one HTML file: no script, no font and no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import polars as pl

from tickerplant.calendar import NEW_YORK
from tickerplant.quality.charts import grade_bars, heat_map, rule_bars, spread_scatter, volume_bars
from tickerplant.quality.outcome import Outcome, RuleTotal
from tickerplant.quality.report import Report
from tickerplant.quality.rule import GRADES, rule

_WORST, _EXAMPLES = 25, 3
_GRADE_WORDS = {
    "A": "nothing wrong",
    "B": "few rows in doubt",
    "C": "in doubt, look before use",
    "D": "wrong rows, or many in doubt",
    "F": "do not use as it is",
}

_STYLE = """
:root { --ink:#1b2330; --soft:#5c6778; --line:#dfe4ea; --back:#ffffff; --card:#f6f8fa; --even:#4a7fb5; --odd:#d1622b;
  --A:#3fa372; --B:#a3c35a; --C:#ecc14a; --D:#e58a3c; --F:#cc3f3f; --error:#cc3f3f; --warning:#e0a02f; --info:#7d93ad; }
@media (prefers-color-scheme: dark) { :root { --ink:#e4e8ee; --soft:#98a4b5; --line:#313a47; --back:#14181f;
  --card:#1c222b; --even:#6c9fd2; --odd:#ea8450; --A:#2f8a5e; --B:#7f9c3e; --C:#c39a2b; --D:#c66f27; --F:#b93636; } }
* { box-sizing:border-box } body { margin:0; background:var(--back); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif }
main { max-width:1020px; margin:0 auto; padding:36px 30px 60px } h1 { font-size:26px; margin:0 }
h2 { font-size:17px; margin:44px 0 4px } p { margin:2px 0 12px; color:var(--soft) } svg { max-width:100%; height:auto;
  display:block } .verdict { display:inline-block; padding:2px 12px; border-radius:12px; color:#fff; font-weight:600;
  font-size:14px; margin-left:10px; vertical-align:4px } .failed { background:var(--F) } .passed { background:var(--A) }
.tiles { display:flex; gap:12px; margin:22px 0 0; flex-wrap:wrap } .tile { background:var(--card); border-radius:8px;
  padding:12px 16px; flex:1 1 120px; border-left:5px solid var(--line) } .tile b { display:block; font-size:22px;
  line-height:1.2 } .tile span { color:var(--soft); font-size:13px }
.scroll { overflow-x:auto } table { border-collapse:collapse; width:100%; font-size:14px }
th { text-align:left; color:var(--soft); font-weight:600; font-size:13px; white-space:nowrap }
th,td { padding:6px 12px 6px 0; border-bottom:1px solid var(--line); vertical-align:top }
td.n,th.n { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap } td.t { white-space:nowrap }
td.m { color:var(--soft) } .chip { display:inline-block; min-width:22px; text-align:center; border-radius:4px;
  padding:0 6px; color:#fff; font-weight:600; font-size:13px } .s { font-weight:600 }
text { font-family:inherit; font-size:12px; fill:var(--ink) } .tick { fill:var(--soft); font-size:11px }
.value { fill:var(--soft) } .grid { stroke:var(--line); stroke-width:1 } .axis { stroke:var(--soft); stroke-width:1 }
.even { fill:var(--even); fill-opacity:.75 } .odd { fill:var(--odd) } .gnone { fill:var(--card) }
.chip.cB,.chip.cC { color:#2b2b1c }
.onB,.onC { fill:#2b2b1c; font-size:11px; font-weight:600 } .onD,.onF { fill:#fff; font-size:11px; font-weight:600 }
"""


def page(report: Report) -> str:
    """The whole report."""
    outcome = report.outcome
    parts = [_head(report), _tiles(outcome), *_history(report), _rules(outcome), _worst(outcome)]
    parts += [*_plots(report), _examples(outcome), _legend()]
    colours = "".join(f".g{g} {{ fill:var(--{g}) }} .chip.c{g} {{ background:var(--{g}) }} " for g in GRADES)
    colours += "".join(f".s-{s} {{ fill:var(--{s}); color:var(--{s}) }} " for s in ("error", "warning", "info"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Quality {_span(outcome)}</title><style>{_STYLE}{colours}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _span(outcome: Outcome) -> str:
    first, last = outcome.days[0], outcome.days[-1]
    return str(last) if first == last else f"{first} to {last}"


def _head(report: Report) -> str:
    outcome = report.outcome
    failed = sum(t.is_failed for t in outcome.totals)
    verdict = f"{failed} rule{'s' * (failed > 1)} of severity error failed" if failed else "no errors"
    return (
        f'<h1>Quality, {_span(outcome)}<span class="verdict {"failed" if failed else "passed"}">{verdict}</span></h1>'
        f"<p>{escape(report.store)} &middot; run {outcome.run} &middot; {outcome.at:%Y-%m-%d %H:%M} UTC &middot; "
        f"{len(outcome.totals)} rules, {sum(t.checked for t in outcome.totals):,} rows looked at. "
        "Rows are flagged, never changed.</p>"
    )


def _tiles(outcome: Outcome) -> str:
    counts = outcome.grade_counts
    total = max(1, sum(counts.values()))
    tiles = [
        f'<div class="tile" style="border-left-color:var(--{g})"><b>{counts[g]:,}</b>'
        f"<span>{g} &middot; {100 * counts[g] / total:.3g} %<br>{_GRADE_WORDS[g]}</span></div>"
        for g in GRADES
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _history(report: Report) -> list[str]:
    if report.grades["session"].n_unique() < 2:
        return []
    return [
        _section("Grades over sessions", "The share of symbols of each grade, by the last run of each session."),
        grade_bars(report.grades),
        _section("The symbols with the worst grades", "A cell is a session; empty where nothing was checked."),
        heat_map(report.grades),
    ]


def _section(title: str, text: str) -> str:
    return f"<h2>{escape(title)}</h2><p>{escape(text)}</p>"


def _rules(outcome: Outcome) -> str:
    flagged = [t for t in outcome.totals if t.flagged]
    clean = ", ".join(t.rule for t in outcome.totals if not t.flagged)
    if not flagged:
        return _section("Rules", f"None flagged anything: {clean}.")
    body = "".join(_rule_row(t) for t in flagged)
    head = (
        '<th>rule</th><th>severity</th><th class="n">flagged</th><th class="n">of rows</th><th class="n">symbols</th>'
    )
    table = f'<div class="scroll"><table><tr>{head}<th>meaning</th></tr>{body}</table></div>'
    below = f"<p>Looked and flagged nothing: {escape(clean)}.</p>" if clean else ""
    return _section("Flagged rows by rule", "Logarithmic.") + rule_bars(flagged) + table + below


def _rule_row(t: RuleTotal) -> str:
    numbers = "".join(f'<td class="n">{n:,}</td>' for n in (t.flagged, t.checked, t.symbols))
    return (
        f'<tr><td class="t">{t.rule}</td><td class="s s-{t.severity}">{t.severity}</td>{numbers}'
        f'<td class="m">{escape(rule(t.rule).meaning)}</td></tr>'
    )


def _worst(outcome: Outcome) -> str:
    worst = outcome.grades.filter(pl.col("grade") != "A").head(_WORST)
    if not worst.height:
        return ""
    rows = "".join(
        f'<tr><td><span class="chip c{r["grade"]}">{r["grade"]}</span></td><td class="t">{escape(r["symbol"])}</td>'
        f'<td class="t">{r["session"]}</td><td class="n">{r["flagged"]:,}</td>'
        f'<td class="m">{escape(r["why"] or "")}</td></tr>'
        for r in worst.to_dicts()
    )
    head = '<th>grade</th><th>symbol</th><th>session</th><th class="n">flagged</th><th>why</th>'
    return (
        _section("Worst symbols of this run", f"The first {worst.height}.")
        + f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    )


def _plots(report: Report) -> list[str]:
    parts, last = [], report.outcome.days[-1]
    if report.spreads.height > 1:
        here = report.outcome.grades.filter(pl.col("session") == last)
        grades = dict(zip(here["symbol"].to_list(), here["grade"].to_list(), strict=True))
        text = "Mean quoted spread of regular hours by shares traded. Orange: far from the others of its volume."
        parts += [_section(f"Spread and volume, {last}", text), spread_scatter(report.spreads, grades)]
    if report.volumes.height:
        text = "Volume as a multiple of the median of up to 20 sessions before: the symbols furthest from it."
        parts += [_section(f"Volume against what is usual, {last}", text), volume_bars(report.volumes)]
    return parts


def _examples(outcome: Outcome) -> str:
    found = pl.from_arrow(outcome.flags)
    assert isinstance(found, pl.DataFrame)
    shown = found.filter(pl.col("severity") != "info").group_by("rule", maintain_order=True).head(_EXAMPLES)
    if not shown.height:
        return ""
    head = "<th>rule</th><th>symbol</th><th>time, New York</th><th>what</th>"
    head += '<th class="n">value</th><th class="n">expected</th>'
    rows = "".join(_example_row(r) for r in shown.to_dicts())
    return (
        _section("Examples", "The worst rows of each rule's first symbols; all are in the table quality_flags.")
        + f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    )


def _example_row(row: dict[str, object]) -> str:
    ts = row["ts"]
    when = str(row["session"]) if ts is None else pl.Series([ts]).dt.convert_time_zone(str(NEW_YORK))[0]
    shown = when if isinstance(when, str) else f"{when:%Y-%m-%d %H:%M:%S}"
    cells = [row["rule"], row["symbol"], shown]
    numbers: Sequence[object] = [row["value"], row["expected"]]
    return (
        "<tr>"
        + "".join(f'<td class="t">{escape(str(c))}</td>' for c in cells)
        + f'<td class="m">{escape(str(row["detail"] or ""))}</td>'
        + "".join(f'<td class="n">{_number(n)}</td>' for n in numbers)
        + "</tr>"
    )


def _number(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else ""


def _legend() -> str:
    rows = "".join(
        f'<tr><td><span class="chip c{g}">{g}</span></td><td class="m">{_GRADE_WORDS[g]}</td></tr>' for g in GRADES
    )
    text = "The worst grade that any rule gives; what share of flagged rows gives which grade is in docs/quality.md."
    return _section("Grades", text) + f"<table>{rows}</table>"
