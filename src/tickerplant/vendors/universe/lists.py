"""Files of symbols -> rows of `universe`. The kind of file is known by its heading.

- holdings: a fund's holdings as iShares publishes them (https://www.ishares.com, "Detailed Holdings"): a byte-order
  mark, lines of heading with `Fund Holdings as of`, the table from the line that begins `Ticker,Name,Sector`, then
  legal text. Cash, futures and money market lines are no members. Class shares are spelled without a dot (BRKB). Lines
  without a listed ticker (escrow: `-`, `P5N994`) are set aside.
- spans: `ticker,start_date,end_date`, one row a membership; the end is the first day without it, empty while it lasts.
  It becomes one whole list for each day on which something changed.
- plain: a column `symbol`, `ticker` or `Symbol`, perhaps `name`, `weight`, `exchange`; or one symbol a line.

Everything is text: NA, NAN, TRUE and ON are tickers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from tickerplant.errors import BadData
from tickerplant.rest import Asked
from tickerplant.tables import UNIVERSE
from tickerplant.vendors.answers import Bad, Found, Page

_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}([./-][A-Za-z0-9]{1,4}){0,2}")
_LISTED = re.compile(r"[A-Z]{1,6}([./-][A-Z]{1,3})?")
_AS_OF = re.compile(r"Fund Holdings as of,\s*\"?([A-Z][a-z]{2} \d{1,2}, \d{4})")
_DOTTED = (
    "AGM.A AKO.A AKO.B BF.A BF.B BH.A BIO.B BRK.A BRK.B CRD.A CRD.B CWEN.A GEF.B GTN.A HEI.A HUB.B HVT.A JW.A JW.B "
    "LEN.B LGF.A LGF.B MKC.V MOG.A MOG.B RDS.A RDS.B STZ.B TAP.A UHAL.B UA.C WSO.B CBS.A BELF.B CENT.A"
)
"""Class shares of US exchanges that are written with a dot; lists that leave it out spell them so."""
_CLASSES = {s.replace(".", ""): s for s in _DOTTED.split() if s not in ("BELF.B", "CENT.A")}


class _Member(NamedTuple):
    as_of: date
    spelled: str
    name: str | None = None
    weight: float | None = None
    exchange: str | None = None


def read(asked: Asked, body: bytes) -> Page:
    """The lists of a file. Raises BadData when there is none in it, or no day."""
    params = dict(asked.call.params)
    text = body.decode("utf-8-sig", "replace")
    as_of = date.fromisoformat(params["as_of"]) if params.get("as_of") else None
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith("Ticker,Name,Sector")), None)
    if head is not None:
        members, bad = _holdings(lines, head, as_of or _as_of(text))
    elif lines and lines[0].replace(" ", "").lower() == "ticker,start_date,end_date":
        members, bad = _spans(lines)
    else:
        members, bad = _plain(lines, as_of)
    if not members:
        raise BadData(f"universe {asked.call.path}: expected a list of symbols, was none")
    return Page((Found(UNIVERSE, _columns(params.get("universe", ""), members), "file"),), tuple(bad))


def our_symbol(spelled: str) -> str:
    """A list's spelling in ours: class shares with a dot."""
    return _CLASSES.get(spelled, re.sub(r"[/-]", ".", spelled))


def _columns(universe: str, members: Sequence[_Member]) -> dict[str, Sequence[Any]]:
    return {
        "universe": [universe] * len(members),
        "as_of": [m.as_of for m in members],
        "symbol": [our_symbol(m.spelled) for m in members],
        "vendor_symbol": [m.spelled for m in members],
        "name": [m.name for m in members],
        "weight": [m.weight for m in members],
        "exchange": [m.exchange for m in members],
    }


def _as_of(text: str) -> date:
    found = _AS_OF.search(text)
    if found is None:
        raise BadData("universe: expected the day of the list in the file, was none; do name it with --on")
    return datetime.strptime(found[1], "%b %d, %Y").date()  # noqa: DTZ007


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return None


def _holdings(lines: Sequence[str], head: int, as_of: date) -> tuple[list[_Member], list[Bad]]:
    members: list[_Member] = []
    bad: list[Bad] = []
    for item, row in enumerate(csv.DictReader(lines[head:])):
        if row.get("Asset Class") != "Equity":
            continue
        ticker = (row["Ticker"] or "").strip()
        if _LISTED.fullmatch(ticker):
            members.append(_Member(as_of, ticker, row["Name"], _number(row["Weight (%)"]), row["Exchange"]))
        else:
            bad.append(_no_symbol(item, ticker, lines[head + 1 + item]))
    return members, bad


def _no_symbol(item: int, ticker: str, line: str) -> Bad:
    return Bad(item, f"universe: expected a ticker, was {ticker[:20]!r}", line.encode())


def _spans(lines: Sequence[str]) -> tuple[list[_Member], list[Bad]]:
    spans: list[tuple[str, date, date | None]] = []
    bad: list[Bad] = []
    for item, row in enumerate(csv.reader(lines[1:])):
        try:
            ticker, start, end = (cell.strip() for cell in row)
            spans.append((ticker, date.fromisoformat(start), date.fromisoformat(end) if end else None))
        except ValueError as error:
            bad.append(Bad(item, f"universe: expected ticker, start, end: {error}", lines[item + 1].encode()))
    return list(_expanded(spans)), bad


def _expanded(spans: Sequence[tuple[str, date, date | None]]) -> Iterator[_Member]:
    """A whole list for each day on which a membership began, or ended."""
    days = sorted({start for _, start, _ in spans} | {end for _, _, end in spans if end})
    for day in days:
        for ticker, start, end in spans:
            if start <= day and (end is None or day < end):
                yield _Member(day, ticker)


def _plain(lines: Sequence[str], as_of: date | None) -> tuple[list[_Member], list[Bad]]:
    if as_of is None:
        raise BadData("universe: expected the day of the list, was none; do name it with --on")
    reader = csv.DictReader(io.StringIO("\n".join(lines)))
    by_lower = {(n or "").strip().lower(): n for n in reader.fieldnames or ()}
    column = by_lower.get("symbol") or by_lower.get("ticker")
    if column is None:
        return _one_a_line(lines, as_of)
    members: list[_Member] = []
    bad: list[Bad] = []
    for item, row in enumerate(reader):
        ticker = (row[column] or "").strip()
        name, exchange = (row.get(by_lower.get(k, "")) for k in ("name", "exchange"))
        if _SYMBOL.fullmatch(ticker):
            members.append(_Member(as_of, ticker, name, _number(row.get(by_lower.get("weight", ""))), exchange))
        else:
            bad.append(_no_symbol(item, ticker, ",".join(str(v) for v in row.values())))
    return members, bad


def _one_a_line(lines: Sequence[str], as_of: date) -> tuple[list[_Member], list[Bad]]:
    words = [(i, line.strip()) for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    members = [_Member(as_of, w) for _, w in words if _SYMBOL.fullmatch(w)]
    return members, [_no_symbol(i, w, w) for i, w in words if not _SYMBOL.fullmatch(w)]
