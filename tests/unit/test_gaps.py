from __future__ import annotations

import json

import pytest

from tickerplant.errors import BadData
from tickerplant.jobs.gaps import gap_of_damage, gaps_batch, gaps_of_record
from tickerplant.model import Damage, Entry, Kind, Record, position

_START = 1_763_649_000_123_456_000
_STARTS = {"quotes": _START, "trades": _START + 5_000}


def _record(kind: Kind, payload: object, at: int = _START + 2_000_000_000) -> Record:
    return Record("alpaca", "sip", kind, at, json.dumps(payload).encode())


def test_a_disconnect_opens_a_row_for_each_channel_and_the_reconnect_closes_the_same_rows() -> None:
    lost = _record(
        Kind.DISCONNECTED, {"connection": 1, "reason": "disconnected", "detail": "1006", "gap": {"starts": _STARTS}}
    )
    back = _record(
        Kind.CONNECTED, {"connection": 2, "gap": {"reason": "disconnected", "starts": _STARTS, "attempts": 3}}
    )

    opened = gaps_batch(gaps_of_record(lost)).rows.to_pylist()
    closed = gaps_batch(gaps_of_record(back)).rows.to_pylist()

    assert [(r["channel"], r["state"], r["end"]) for r in opened] == [
        ("quotes", "open", None),
        ("trades", "open", None),
    ]
    assert [r["start"] for r in opened] == [r["start"] for r in closed]
    assert {r["state"] for r in closed} == {"closed"}
    assert all(int(r["end"].timestamp()) == (_START + 2_000_000_000) // 10**9 for r in closed)
    assert json.loads(closed[0]["evidence"])["attempts"] == 3


def test_a_planned_end_is_no_gap() -> None:
    assert gaps_of_record(_record(Kind.DISCONNECTED, {"connection": 1, "reason": "ended", "gap": None})) == []


@pytest.mark.parametrize("payload", [[1], {"gap": {"reason": "x"}}, {"gap": {"starts": {"quotes": "soon"}}}])
def test_a_foreign_payload_is_bad_data(payload: object) -> None:
    with pytest.raises(BadData, match="record: expected"):
        gaps_of_record(_record(Kind.CONNECTED, payload))


def test_damage_is_bounded_by_its_neighbours() -> None:
    entry = Entry(
        position(3, 100), position(3, 250), Damage(b"x" * 150, "expected a whole line", _START, _START + 9_000)
    )

    row = gaps_batch([gap_of_damage(entry, "alpaca", "sip")]).rows.to_pylist()[0]

    assert (row["channel"], row["reason"], row["state"]) == ("*", "damaged", "closed")
    assert (row["end"] - row["start"]).microseconds == 9
