"""A seeded market: thousands of symbols with realistic activity, and everything a feed says about them.

The same options give the same messages. Quotes follow a random walk, trades happen at them, bars follow from the trades
(the rule is in `bars.py`), a few trades come late and change the bar of the minute before, and a few are corrected
or cancelled later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.calendar import NEW_YORK, UTC, session
from tickerplant.errors import UsageError
from tickerplant.model import Batch
from tickerplant.schema import Table
from tickerplant.simulator import activity
from tickerplant.simulator.bars import PRICE_SCALE, SIZE_SCALE, Prints, Window
from tickerplant.simulator.halts import Diary, Halts, Row, afterthoughts, band, plan_halts, write_halts
from tickerplant.simulator.source import SLICE_MESSAGES, Rows, Source, Symbols, Timed, slices
from tickerplant.simulator.tickers import tickers
from tickerplant.tables import BARS, DAILY_BARS, QUOTES, TABLES, TRADES
from tickerplant.vendors.dialect import Dialect

Ints = npt.NDArray[np.int64]
_SECOND = 1_000_000_000
_HALF_MINUTE_S = 30
_DEFAULT_RATE_PER_SYMBOL = 3.0
_BAR_DELAY_NS, _DAILY_DELAY_NS, _BAR_STEP_NS = 5_000_000, 300_000_000, 10_000
_LATE, _FRACTIONAL, _LOCKED, _ONE_SIDED = 1 / 2000, 0.01, 0.02, 0.002
CORRECTED = 1 / 5000
_IDS_A_TRADE = 100
_LOWEST_CENTS = 150
_VENUES = np.array(["N", "Q", "P", "Z", "Y", "K", "J", "B", "X", "V", "U", "H", "D"])
_LIT_WEIGHTS = np.array([18, 22, 14, 12, 3, 12, 4, 2, 1, 5, 4, 3]) / 100
_CONDITIONS = np.array(["@", "@,F", "@,I", "@,F,I", "@,Z"])
_LATE_CONDITION = 4


@dataclass(frozen=True)
class Market:
    """What to make: `minutes` from the open of `session` (390 is a whole day), `rate` quotes and trades a second of
    market time in the day's mean (None: three a symbol), `corrected` the share of trades corrected or cancelled."""

    seed: int = 7
    symbols: int = 200
    minutes: int = 5
    session: date = date(2025, 11, 20)
    rate: float | None = None
    corrected: float = CORRECTED


def seeded(market: Market, dialect: Dialect | None = None) -> Source:
    """The market as a source. Raises UsageError when the exchange is closed on that day."""
    maker = _Maker(market)
    about = {
        "kind": "market",
        "seed": market.seed,
        "symbols": market.symbols,
        "minutes": market.minutes,
        "session": market.session.isoformat(),
        "rate": maker.rate,
        "corrected": market.corrected,
    }
    made = slices(maker.stretches(), dialect or Dialect(), Symbols(maker.names))
    return Source(made, about, market.minutes * 60.0)


def batch(table: Table, columns: dict[str, Any], count: int) -> Batch:
    """Rows from some columns; the envelope is filled in, the rest is null."""
    filler = {"vendor": "alpaca", "feed": "sip", "received_at": 0, "seq": 0, "interval": "1m"}
    arrays = []
    for field in table.schema:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name], field.type))
        elif field.name in filler:
            arrays.append(pa.repeat(pa.scalar(filler[field.name], field.type), count))
        else:
            arrays.append(pa.nulls(count, field.type))
    return Batch(table, pa.RecordBatch.from_arrays(arrays, schema=table.schema))


def _split_ns(ns: Ints) -> dict[str, npt.NDArray[np.generic]]:
    return {"ts": ns // 1000, "ns": (ns % 1000).astype(np.int16)}


class _Maker:
    """The state of the market between stretches."""

    def __init__(self, market: Market) -> None:
        hours = session(market.session)
        if hours is None:
            raise UsageError(f"market: expected a session of the exchange, was {market.session}, when it is closed")
        self._market, self._chance = market, np.random.default_rng([market.seed, 0])
        self.rate = market.rate or _DEFAULT_RATE_PER_SYMBOL * market.symbols
        self.names = tickers(market.symbols, market.seed)
        self._open_ns = int(hours.open.astimezone(UTC).timestamp()) * _SECOND
        self._day = hours.open.astimezone(NEW_YORK).date()
        self._write_symbols()
        self._minute_bars, self._minute_before = Window(market.symbols), Window(market.symbols)
        self._day_bars = Window(market.symbols)
        self._late = np.zeros(market.symbols, bool)
        self._plan()

    def _write_symbols(self) -> None:
        count, chance = self._market.symbols, self._chance
        weights = 1.0 / (np.arange(count) + 3.0)
        self._cumulative = np.cumsum(weights / weights.sum())
        self._tape_codes = chance.choice(3, count, p=[0.35, 0.15, 0.5])
        self._tapes = np.array(["A", "B", "C"])[self._tape_codes].tolist()
        self._cents = np.exp(chance.normal(np.log(4500), 1.1, count)).astype(np.int64) + _LOWEST_CENTS
        self._spread = 1 + (self._cents // 12_000) + (np.arange(count) > count * 0.3) + (self._cents > 60_000) * 6
        self._move = np.clip(self._cents / 60_000, 0.02, 0.4)
        self._next_id = np.ones(count, np.int64)
        self._next_new_id = 52_983_525_000_000

    def _plan(self) -> None:
        market, end = self._market, self._open_ns + self._market.minutes * 60 * _SECOND
        self._diary = Diary()
        self._halts: Halts = plan_halts(self._chance, market.symbols, self._open_ns, market.minutes)
        write_halts(self._diary, self._halts, self.names, self._tapes, end)

    def stretches(self) -> Iterator[Sequence[Timed]]:
        """Stretches of at most half a minute that hold about as many messages as a slice."""
        total = self._market.minutes * 60
        for start in range(0, total, _HALF_MINUTE_S):
            marks = self._at_mark(start)
            per_second = activity.counts(self._chance, start, min(_HALF_MINUTE_S, total - start), self.rate)
            for first, last in _portions(per_second):
                yield [*marks, *self._stretch(start + first, per_second[first:last])]
                marks = []
        yield self._at_mark(total)

    def _stretch(self, start_s: int, per_second: Ints) -> list[Timed]:
        origin = self._open_ns + start_s * _SECOND
        ts, cluster = activity.moments(self._chance, per_second, origin)
        symbol = self._symbols_of(cluster)
        keep = ~self._halts.is_halted(symbol, ts)
        ts, symbol = ts[keep], symbol[keep]
        share = activity.trade_share((ts - self._open_ns) // _SECOND)
        is_trade = self._chance.random(len(ts)) < share
        bid, ask = self._walk(symbol)
        made = [self._quotes(ts[~is_trade], symbol[~is_trade], bid[~is_trade], ask[~is_trade])]
        made += self._trades(ts[is_trade], symbol[is_trade], bid[is_trade], ask[is_trade])
        return made + _of_rows(self._diary.take(origin + len(per_second) * _SECOND))

    def _symbols_of(self, cluster: Ints) -> Ints:
        """The symbol of each event; the events of a cluster share one."""
        last = len(self._cumulative) - 1
        own = np.searchsorted(self._cumulative, self._chance.random(len(cluster)))
        if not len(cluster):
            return own
        shared = np.searchsorted(self._cumulative, self._chance.random(int(cluster.max()) + 2))
        return np.minimum(np.where(cluster >= 0, shared[cluster], own), last)

    def _walk(self, symbol: Ints) -> tuple[Ints, Ints]:
        """Bid and ask in cents at each event: a random walk of each symbol."""
        draw = self._chance.random(len(symbol))
        move = self._move[symbol]
        step = np.where(draw < move / 2, -1, np.where(draw < move, 1, 0))
        order = np.argsort(symbol, kind="stable")
        ordered = symbol[order]
        path = np.cumsum(step[order])
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, np.int64)
        before = np.repeat(path[starts] - step[order][starts], np.diff(np.r_[starts, len(ordered)]))
        middle = np.empty(len(symbol), np.int64)
        middle[order] = self._cents[ordered] + path - before
        ends = np.r_[starts[1:], len(ordered)] - 1 if len(ordered) else starts
        self._cents[ordered[starts]] = middle[order][ends]
        spread = self._spread[symbol] + (self._chance.random(len(symbol)) < 0.25)
        spread[self._chance.random(len(symbol)) < _LOCKED] = 0
        bid = np.maximum(middle, _LOWEST_CENTS) - spread // 2
        return bid, bid + spread

    def _quotes(self, ts: Ints, symbol: Ints, bid: Ints, ask: Ints) -> Timed:
        count, chance = len(ts), self._chance
        venue = chance.choice(len(_LIT_WEIGHTS), (2, count), p=_LIT_WEIGHTS)
        size = chance.geometric(0.35, (2, count)) * 100.0
        odd = chance.random((2, count)) < 0.2
        size[odd] = chance.integers(1, 100, int(odd.sum()))
        empty = chance.random(count) < _ONE_SIDED
        venues = np.append(_VENUES, " ")
        columns = {
            "symbol": self._name(symbol),
            **_split_ns(ts),
            "bid_price": np.where(empty, 0, bid) / 100,
            "bid_size": np.where(empty, 0.0, size[0]),
            "bid_exchange": _text(venues, np.where(empty, len(venues) - 1, venue[0])),
            "ask_price": ask / 100,
            "ask_size": size[1],
            "ask_exchange": _text(venues, venue[1]),
            "conditions": pa.repeat("R", count),
            "tape": self._tape(symbol),
        }
        return Timed(batch(QUOTES, columns, count), ts)

    def _trades(self, sent: Ints, symbol: Ints, bid: Ints, ask: Ints) -> list[Timed]:
        if not len(sent):
            return []
        ts, is_late = self._delayed(sent)
        price, venue = self._prices(bid, ask)
        size, condition = self._sizes(len(ts))
        condition[is_late] = _LATE_CONDITION
        self._count_bars(Prints(symbol, ts, price, size), is_late)
        columns = {
            "symbol": self._name(symbol),
            **_split_ns(ts),
            "trade_id": pa.array(self._ids(symbol)).cast(pa.string()),
            "price": price / PRICE_SCALE,
            "size": size / SIZE_SCALE,
            "exchange": _text(_VENUES, venue),
            "conditions": _text(_CONDITIONS, condition),
            "tape": self._tape(symbol),
        }
        made = batch(TRADES, columns, len(ts))
        return [Timed(made, sent, self._regret(made, sent))]

    def _delayed(self, sent: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Event times: a few trades of the first half of a minute happened in the minute before."""
        into = (sent - self._open_ns) % (60 * _SECOND)
        is_late = (self._chance.random(len(sent)) < _LATE) & (into < 30 * _SECOND)
        is_late &= sent - self._open_ns >= 60 * _SECOND
        before = self._chance.integers(1, 5 * _SECOND, len(sent))
        return np.where(is_late, sent - into - before, sent), is_late

    def _prices(self, bid: Ints, ask: Ints) -> tuple[Ints, npt.NDArray[np.int64]]:
        """Trades at the bid, the ask, or off exchange in between (D)."""
        draw = self._chance.random(len(bid))
        price = np.where(draw < 0.45, bid, ask) * 100
        price = np.where(draw > 0.9, (bid + ask) * 50, price)
        venue = self._chance.choice(len(_LIT_WEIGHTS), len(bid), p=_LIT_WEIGHTS)
        return price, np.where((draw > 0.9) | (self._chance.random(len(bid)) < 0.35), len(_VENUES) - 1, venue)

    def _sizes(self, count: int) -> tuple[Ints, npt.NDArray[np.int64]]:
        """Scaled sizes and condition codes: about half are odd lots, a few are fractional."""
        chance = self._chance
        round_lots = chance.geometric(0.5, count) * 100 * SIZE_SCALE
        odd_lots = chance.integers(1, 100, count) * SIZE_SCALE
        fractions = chance.integers(1, 20 * SIZE_SCALE, count)
        draw = chance.random(count)
        size = np.where(draw < _FRACTIONAL, fractions, np.where(draw < 0.5, odd_lots, round_lots))
        is_sweep = chance.random(count) < 0.15
        return size, np.where(size < 100 * SIZE_SCALE, 2, 0) + is_sweep

    def _ids(self, symbol: Ints) -> Ints:
        """Trade ids that count up for each symbol."""
        order = np.argsort(symbol, kind="stable")
        ordered = symbol[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sizes = np.diff(np.r_[starts, len(ordered)])
        ids = np.empty(len(symbol), np.int64)
        ids[order] = self._next_id[ordered] + np.arange(len(ordered)) - np.repeat(starts, sizes)
        self._next_id[ordered[starts]] += sizes
        return ids

    def _count_bars(self, prints: Prints, is_late: npt.NDArray[np.bool_]) -> None:
        self._minute_bars.add(prints.where(~is_late))
        self._minute_before.add(prints.where(is_late))
        self._late[prints.symbol[is_late]] = True
        self._day_bars.add(prints)

    def _regret(self, made: Batch, sent: Ints) -> Rows:
        """Note corrections and cancels of a few trades for later; returns these trades by row."""
        chosen = np.flatnonzero(self._chance.random(len(sent)) < self._market.corrected)
        trades = dict(zip(chosen.tolist(), made.rows.take(pa.array(chosen)).to_pylist(), strict=True))
        for row, trade in trades.items():
            for later in afterthoughts(self._chance, trade, int(sent[row]), self._next_new_id):
                self._diary.add(later.due, "trade_corrections", later.columns)
            self._next_new_id += _IDS_A_TRADE
        return trades

    def _at_mark(self, second: int) -> list[Timed]:
        """What is sent just after a half-minute mark: bars and daily bars at the minute, updated bars in between."""
        at = self._open_ns + second * _SECOND
        self._bands(at)
        if second == 0:
            return _of_rows(self._diary.take(at + 1))
        if second % 60:
            late = np.flatnonzero(self._late)
            self._late[:] = False
            minute = at - 90 * _SECOND
            return self._bars(self._minute_before, late, minute, at + _BAR_DELAY_NS, revision=1)
        traded = np.flatnonzero(self._minute_bars.count)
        made = self._bars(self._minute_bars, traded, at - 60 * _SECOND, at + _BAR_DELAY_NS, revision=0)
        made += self._daily(traded, at + _DAILY_DELAY_NS)
        self._minute_before, self._minute_bars = self._minute_bars, Window(self._market.symbols)
        return made

    def _bars(self, window: Window, symbols: Ints, minute: int, due: int, revision: int) -> list[Timed]:
        count = len(symbols)
        stamp = _split_ns(np.full(count, minute))
        columns = {"symbol": self._name(symbols), **stamp, **window.columns(symbols)}
        columns["revision"] = np.full(count, revision, np.int32)
        return [Timed(batch(BARS, columns, count), due + np.arange(count) * _BAR_STEP_NS)] if count else []

    def _daily(self, symbols: Ints, due: int) -> list[Timed]:
        count = len(symbols)
        columns = {"symbol": self._name(symbols), **self._day_bars.columns(symbols)}
        columns["session"] = pa.repeat(pa.scalar(self._day, pa.date32()), count)
        return [Timed(batch(DAILY_BARS, columns, count), due + np.arange(count) * _BAR_STEP_NS)] if count else []

    def _bands(self, at: int) -> None:
        for code in np.flatnonzero(self._chance.random(self._market.symbols) < 0.02).tolist():
            due = at + 10_000_000 + code * 1000
            self._diary.add(due, "lulds", band(self.names[code], self._tapes[code], int(self._cents[code])))

    def _name(self, symbol: Ints) -> pa.Array:
        return pa.array(self.names).take(pa.array(symbol))

    def _tape(self, symbol: Ints) -> pa.Array:
        return _text(np.array(["A", "B", "C"]), self._tape_codes[symbol])


def _portions(per_second: Ints) -> Iterator[tuple[int, int]]:
    """Runs of seconds that hold about a slice of messages each."""
    first, held = 0, 0
    for second, count in enumerate(per_second.tolist()):
        if held and held + count > SLICE_MESSAGES:
            yield first, second
            first, held = second, 0
        held += count
    yield first, len(per_second)


def _text(values: npt.NDArray[np.str_], codes: npt.NDArray[np.integer]) -> pa.Array:
    return pa.array(values.tolist(), pa.string()).take(pa.array(codes))


def _of_rows(rows: Sequence[Row]) -> list[Timed]:
    made = []
    for name in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table == name]
        columns = {c: [row.columns.get(c) for row in own] for c in dict.fromkeys(k for r in own for k in r.columns)}
        made.append(Timed(batch(TABLES[name], columns, len(own)), np.array([row.due for row in own])))
    return made
