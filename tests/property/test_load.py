"""Exactly once, wherever a load dies."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory import Crash, MemoryLog, MemoryStore
from tickerplant.jobs.load import LoadOptions, load
from tickerplant.model import Damage, Kind, Record
from tickerplant.vendors import vendor

_T0 = 1_763_649_000_000_000_000


def _quote(n: int) -> dict[str, object]:
    return {
        "T": "q",
        "S": "AAPL",
        "bx": "N",
        "bp": 10.5,
        "bs": n,
        "ax": "Q",
        "ap": 10.6,
        "as": 1,
        "t": "2025-11-20T14:30:00Z",
    }


def _trade(n: int) -> dict[str, object]:
    return {"T": "t", "S": "MSFT", "i": n, "x": "N", "p": 5.25, "s": 10, "t": "2025-11-20T14:30:00.000000123Z"}


def _bad(n: int) -> dict[str, object]:
    return {"T": "zz", "n": n}


_message = st.tuples(st.sampled_from((_quote, _trade, _bad)), st.integers(1, 10**6)).map(lambda p: p[0](p[1]))
_frame = st.lists(_message, min_size=1, max_size=4).map(lambda m: json.dumps(m).encode())
_item = st.one_of(
    _frame.map(lambda f: (Kind.DATA, f)),
    st.just((Kind.DATA, b"[garbled")),
    st.just((Kind.CONTROL, b'[{"T":"success","msg":"connected"}]')),
    st.just((Kind.DISCONNECTED, b'{"connection":1,"reason":"mute","gap":{"starts":{"quotes":1763649000000000000}}}')),
    st.just((None, b"torn")),
)


def _log(items: list[tuple[Kind | None, bytes]], step: int) -> MemoryLog:
    made: list[Record | Damage] = []
    for i, (kind, payload) in enumerate(items):
        at = _T0 + i * 1_000_000
        made.append(
            Damage(payload, "expected a whole line", at - 1000, at + 1000)
            if kind is None
            else Record("alpaca", "sip", kind, at, payload)
        )
    return MemoryLog(made, step=step)


def _contents(store: MemoryStore) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in store.rows.items() if rows}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_item, min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(1, 20),
    st.lists(st.integers(0, 6), max_size=12),
)
def test_a_load_that_dies_anywhere_and_is_run_again_gives_the_same_tables(
    items: list[tuple[Kind | None, bytes]], step: int, batch: int, deaths: list[int]
) -> None:
    whole = MemoryStore()
    load(_log(items, 1000), whole, vendor)

    broken = MemoryStore()
    for i, survived in enumerate(deaths):
        broken.dies_after = broken.commits + survived
        with suppress(Crash):
            load(_log(items, step + i), broken, vendor, LoadOptions(batch_messages=batch + i))
    broken.dies_after = None
    load(_log(items, step), broken, vendor, LoadOptions(batch_messages=batch))

    assert _contents(broken) == _contents(whole)
    assert broken.ledger == whole.ledger
    counters = broken.ledger["alpaca.sip"][1]
    assert counters.received == counters.stored + counters.quarantined + counters.control
    stored = sum(len(rows) for name, rows in broken.rows.items() if name in ("quotes", "trades"))
    assert counters.stored == stored
    assert counters.quarantined == len(broken.rows.get("quarantine", []))
