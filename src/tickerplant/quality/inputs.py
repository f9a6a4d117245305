"""What rules read: the rows of the sessions in question under names of their own, the same for both stores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tickerplant.calendar import FIRST_SESSION, LAST_SESSION, NEW_YORK, session
from tickerplant.quality.rule import KEYS, THRESHOLD, Rule

LOOK_BACK_DAYS = 100
"""How many days before the first session `daily` shows."""

_PAST_DAYS = 30
_COLUMNS = (
    *(("vendor", "text"), ("feed", "text"), ("ts", "timestamptz"), ("ns", "smallint")),
    *(("received_at", "timestamptz"), ("seq", "integer")),
)
_BUCKET = re.compile(r"bucket\(([\w.]+), ([\w:]+)\)")
_OFF_MARKET = re.compile(r"off_market\(([\w.]+), ([\w.]+)\)")
_BUCKETS = {
    "duckdb": "(epoch_us({0}) // ({1} * 1000000)::bigint)",
    "postgres": "floor(extract(epoch from {0})::double precision / {1})::bigint",
}
_FINITE = re.compile(r"finite\((\w+)\)")
# Comparing with infinity missed a NaN in DuckDB, probably by statistics of files that leave it out.
_FINITES = {"duckdb": "isfinite({0})", "postgres": "({0} not in ('NaN', 'Infinity', '-Infinity'))"}
_MATCHES = {"duckdb": "regexp_matches(coalesce({0}, ''), '{1}')", "postgres": "(coalesce({0}, '') ~ '{1}')"}
SIP_OFF_MARKET = "BCGHLNPRUVWZ4796MQ"
"""CTA and UTP sale conditions of prints that need not be near the market: average price or bunched (B, W), cash (C),
bunched sold (G), price variation (H), sold last (L), next day (N), prior reference (P), seller (R), extended hours out
of sequence (U), contingent (V, 7), sold out of sequence (Z), derivatively priced (4), corrected close (9), closing (6)
and official open and close (Q, M). The letters are those of the CTS and UTP specifications, which were not at hand:
written from memory."""
POLYGON_OFF_MARKET = (2, 4, 5, 7, 8, 10, 13, 15, 16, 20, 21, 22, 29, 30, 31, 32, 33, 38, 47, 52, 53)
"""The same in Polygon's numbers, by the recorded list of its condition codes (reference/conditions)."""


@dataclass(frozen=True)
class Span:
    """The days a question is about, sorted; `now` decides which of them are over."""

    days: tuple[date, ...]
    now: datetime

    @property
    def first(self) -> date:
        """The first day."""
        return self.days[0]

    @property
    def last(self) -> date:
        """The last day."""
        return self.days[-1]


def question(rule: Rule, dialect: str, span: Span) -> str:
    """`with ...` that ends in `found`: every row the rule looked at, in the same columns for each rule."""
    used = _used(rule.sql)
    made = _made(span)
    ctes = [f"{head} as ({made[name]})" for name, head in _HEADS.items() if name in used]
    columns = [
        f"{name} as {name}" if name in KEYS[rule.grain] else f"cast(null as {kind}) as {name}"
        for name, kind in _COLUMNS
    ]
    answer = (
        f"select symbol, session, {', '.join(columns)}, coalesce(is_bad, false) as is_bad, "
        "cast(value as double precision) as value, cast(expected as double precision) as expected, detail "
        f"from ({rule.sql}) answer"
    )
    ctes.append(f"found as ({answer})")
    return _expanded("with " + ",\n".join(ctes), dialect, rule.thresholds)


def expanded(sql: str, dialect: str, span: Span) -> str:
    """Any select over the same inputs."""
    made = _made(span)
    ctes = [f"{head} as ({made[name]})" for name, head in _HEADS.items() if name in _used(sql)]
    return _expanded("with " + ",\n".join(ctes) + "\n" + sql, dialect, {})


def _expanded(sql: str, dialect: str, thresholds: Mapping[str, float]) -> str:
    sql = THRESHOLD.sub(lambda m: f"{thresholds[m[1]]:g}", sql)
    sql = _FINITE.sub(lambda m: _FINITES[dialect].format(m[1]), sql)
    sql = _BUCKET.sub(lambda m: _BUCKETS[dialect].format(m[1], m[2]), sql)
    return _OFF_MARKET.sub(lambda m: _off_market(dialect, m[1], m[2]), sql)


def _off_market(dialect: str, conditions: str, vendor: str) -> str:
    numbers = "|".join(map(str, POLYGON_OFF_MARKET))
    theirs = _MATCHES[dialect].format(conditions, f"(^|,)({numbers})(,|$)")
    sip = _MATCHES[dialect].format(conditions, f"(^|,)[{SIP_OFF_MARKET}](,|$)")
    return f"(case when {vendor} = 'polygon' then {theirs} else {sip} end)"


_HEADS = {
    "hours": "hours (session, pre_open, opens, closes, post_close, is_over)",
    "past_hours": "past_hours (session, pre_open, opens, closes, post_close, is_over)",
    "checked_quotes": "checked_quotes",
    "all_trades": "all_trades",
    "checked_trades": "checked_trades",
    "plain_trades": "plain_trades",
    "checked_bars": "checked_bars",
    "past_bars": "past_bars",
    "daily": "daily",
    "known_splits": "known_splits",
}
_NEEDS = {
    "plain_trades": ("checked_trades", "all_trades"),
    "checked_trades": ("all_trades",),
    "past_bars": ("past_hours",),
    "daily": ("hours",),
}


def _used(sql: str) -> set[str]:
    words = set(re.findall(r"\w+", sql))
    found = {name for name in _HEADS if name in words}
    return found | {need for name in found for need in _NEEDS.get(name, ())}


def _made(span: Span) -> dict[str, str]:
    inside = within(span.first, span.last)
    past = span.first - timedelta(days=_PAST_DAYS)
    return {
        "hours": _hours(span.days, span.now),
        "past_hours": _hours(_sessions(past, span.first), span.now),
        "checked_quotes": f"select * from quotes where {inside}",
        "all_trades": f"select * from trades where {inside}",
        "checked_trades": f"""select * from all_trades t where not exists (
            select 1 from trade_corrections c where c.symbol = t.symbol and c.session = t.session
            and c.vendor = t.vendor and c.feed = t.feed and coalesce(c.exchange, '') = coalesce(t.exchange, '')
            and c.original_id = t.trade_id and {inside})""",
        "plain_trades": "select * from checked_trades where not off_market(conditions, vendor)",
        "checked_bars": f"""select * from bars_latest where {inside} and "interval" = '1m'""",
        "past_bars": f"""select b.symbol, b.session, count(distinct b.ts) as minutes
            from bars b join past_hours p on p.session = b.session and b.ts >= p.opens and b.ts < p.closes
            where {within(past, span.first - timedelta(days=1), "b.")} and b."interval" = '1m'
            group by b.symbol, b.session""",
        "daily": f"""select d.*, h.session is not null as is_checked
            from daily_bars_latest d left join hours h on h.session = d.session
            where d.session >= date '{span.first - timedelta(days=LOOK_BACK_DAYS)}'
            and d.session <= date '{span.last}'""",
        "known_splits": """select symbol, ex_date, max(split_to / split_from) as ratio from splits_latest
            where split_from > 0 and split_to > 0 group by symbol, ex_date""",
    }


def within(first: date, last: date, prefix: str = "") -> str:
    """The condition on sessions, said in times too, by which chunks are found."""
    low, high = (datetime.combine(d, time(), NEW_YORK).astimezone(UTC) for d in (first, last + timedelta(days=1)))
    return (
        f"{prefix}session >= date '{first}' and {prefix}session <= date '{last}' "
        f"and {prefix}ts >= timestamptz '{low.isoformat()}' and {prefix}ts < timestamptz '{high.isoformat()}'"
    )


def _hours(days: Sequence[date], now: datetime) -> str:
    """Days with their hours; null on days without a session."""
    rows = [_day(day, now) for day in days]
    return (
        "values " + ", ".join(rows) if rows else f"select * from (values {_day(FIRST_SESSION, now)}) none where false"
    )


def _day(day: date, now: datetime) -> str:
    found = session(day) if FIRST_SESSION <= day <= LAST_SESSION else None
    if found is None:
        return f"(date '{day}', {', '.join(['cast(null as timestamptz)'] * 4)}, true)"
    times = (found.pre_open, found.open, found.close, found.post_close)
    stamps = ", ".join(f"timestamptz '{at.isoformat()}'" for at in times)
    return f"(date '{day}', {stamps}, {str(found.post_close <= now).lower()})"


def _sessions(start: date, end: date) -> list[date]:
    days = (start + timedelta(days=i) for i in range((end - start).days))
    return [day for day in days if FIRST_SESSION <= day <= LAST_SESSION and session(day)]
