"""Halts, their statuses, price bands, and the corrections and cancels of earlier trades."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max
_SECOND = 1_000_000_000
_ONCE_MORE, _OF_UNKNOWN = 0.4, 0.05

_UTP_HALT = ("P", "Volatility Trading Pause", "LUDP", "Volatility Trading Pause")
_UTP_RESUME = ("T", "Trading Resumption", "LUDP", "Volatility Trading Pause")
_CTA_HALT = ("2", "Trading Halt", "M", "Limit Up-Limit Down (LULD) Trading Pause")
_CTA_RESUME = ("3", "Resume", "M", "Limit Up-Limit Down (LULD) Trading Pause")


class Row(NamedTuple):
    """A row to be sent at `due`: its table and the columns that are not null."""

    due: int
    number: int
    table: str
    columns: dict[str, Any]


class Later(NamedTuple):
    """Columns of a row to be sent at `due`."""

    due: int
    columns: dict[str, Any]


class Diary:
    """Rows to be sent later, in time order."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._count = 0

    def add(self, due: int, table: str, columns: dict[str, Any]) -> None:
        """Send a row at `due`; its event time is `due` too."""
        self._count += 1
        micros, ns = divmod(due, 1000)
        heapq.heappush(self._rows, Row(due, self._count, table, {"ts": micros, "ns": ns, **columns}))

    def take(self, before: int) -> list[Row]:
        """The rows due before a moment."""
        found = []
        while self._rows and self._rows[0].due < before:
            found.append(heapq.heappop(self._rows))
        return found


@dataclass(frozen=True)
class Halts:
    """For each symbol the one halt `[start, end)` of the session in ns; never for most."""

    start: Ints
    end: Ints

    def is_halted(self, symbol: Ints, ts: Ints) -> npt.NDArray[np.bool_]:
        """Whether each symbol is halted at each moment."""
        return (ts >= self.start[symbol]) & (ts < self.end[symbol])


def plan_halts(chance: np.random.Generator, symbols: int, open_ns: int, minutes: int) -> Halts:
    """About one halt for two thousand symbol-minutes, at least one when there is room; of half to five minutes."""
    count = int(chance.poisson(symbols * minutes / 2000))
    if minutes >= 2 and symbols >= 10:
        count = max(count, 1)
    chosen = chance.choice(symbols, min(count, symbols // 4), replace=False)
    start, end = np.full(symbols, _NEVER), np.full(symbols, _NEVER)
    start[chosen] = open_ns + (chance.random(len(chosen)) * minutes * 60 * 0.7 * 1e9).astype(np.int64)
    end[chosen] = start[chosen] + chance.integers(30 * _SECOND, 300 * _SECOND, len(chosen))
    return Halts(start, end)


def write_halts(diary: Diary, halts: Halts, names: list[str], tapes: list[str], close_ns: int) -> None:
    """Put the statuses of all halts in the diary, and an imbalance message in the middle of each."""
    for code in np.flatnonzero(halts.start != _NEVER).tolist():
        start, end, is_utp = int(halts.start[code]), int(halts.end[code]), tapes[code] == "C"
        who = {"symbol": names[code], "tape": tapes[code]}
        for due, texts in ((start, _UTP_HALT if is_utp else _CTA_HALT), (end, _UTP_RESUME if is_utp else _CTA_RESUME)):
            keys = ("status_code", "status_message", "reason_code", "reason_message")
            if due < close_ns:
                diary.add(due, "statuses", who | dict(zip(keys, texts, strict=True)))
        if (start + end) // 2 < close_ns:
            diary.add((start + end) // 2, "imbalances", who | {"price": 25.0 + code % 100 / 4})


def band(symbol: str, tape: str, cents: int) -> dict[str, Any]:
    """Price bands of five per cent around a price."""
    up, down = round(cents * 1.05) / 100, round(cents * 0.95) / 100
    return {"symbol": symbol, "tape": tape, "limit_up": up, "limit_down": down, "indicator": "B"}


def afterthoughts(chance: np.random.Generator, trade: dict[str, Any], sent: int, new_id: int) -> list[Later]:
    """What is said later of a trade sent at `sent`: corrected, cancelled or an error, and then once more perhaps.

    A correction gives the trade a new id, `new_id` and the next ones, which the message after it names. One in twenty
    is of a trade that was never sent.
    """
    due = sent + _SECOND + int(chance.exponential(5e9))
    is_unknown = bool(chance.random() < _OF_UNKNOWN)
    found = [
        Later(due, _afterthought(chance, {**trade, "trade_id": str(new_id + 99)} if is_unknown else trade, new_id))
    ]
    while found[-1].columns["kind"] == "correction" and chance.random() < _ONCE_MORE:
        due, last = due + _SECOND + int(chance.exponential(5e9)), found[-1].columns
        now = {name: last[f"corrected_{name}"] for name in ("price", "size", "conditions")}
        found.append(
            Later(due, _afterthought(chance, {**trade, **now, "trade_id": last["corrected_id"]}, new_id + len(found)))
        )
    return found


def _afterthought(chance: np.random.Generator, trade: dict[str, Any], new_id: int) -> dict[str, Any]:
    """A cancel, an error or a correction of a trade."""
    kind = str(chance.choice(["correction", "cancel", "error"], p=[0.6, 0.3, 0.1]))
    made = {k: trade[k] for k in ("symbol", "exchange", "tape")} | {"kind": kind, "original_id": trade["trade_id"]}
    made |= {f"original_{k}": trade[k] for k in ("price", "size")}
    if kind != "correction":
        return made
    return made | {
        "original_conditions": trade["conditions"],
        "corrected_id": str(new_id),
        "corrected_price": round(trade["price"] + 0.01, 4),
        "corrected_size": trade["size"],
        "corrected_conditions": trade["conditions"],
    }
