"""Faults, recorded sources and the oracle's arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tickerplant.errors import UsageError
from tickerplant.fingerprint import Tally
from tickerplant.model import Batch
from tickerplant.simulator.faults import KINDS, Fault, Schedule, parse, random_plan, random_plan_by_messages
from tickerplant.simulator.market import batch
from tickerplant.simulator.oracle import Accounts, Ledger
from tickerplant.simulator.source import Timed, from_batches, from_reader, slices
from tickerplant.tables import POSITIONS, QUOTES, TRADES
from tickerplant.vendors.dialect import Dialect


def quotes(symbol: str, micros: list[int]) -> Batch:
    columns = {"symbol": [symbol] * len(micros), "ts": micros, "ns": [0] * len(micros)}
    columns["bid_price"] = [float(k) for k in range(len(micros))]
    return batch(QUOTES, columns, len(micros))


def trades(symbol: str, micros: list[int]) -> Batch:
    columns = {"symbol": [symbol] * len(micros), "ts": micros, "ns": [1] * len(micros)}
    return batch(TRADES, columns | {"trade_id": [str(k) for k in range(len(micros))]}, len(micros))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("disconnect@3.5s:2s", Fault("disconnect", at_s=3.5, duration_s=2.0)),
        ("garbled@5000m", Fault("garbled", at_messages=5000, duration_s=0.0)),
        ("mute@1", Fault("mute", at_s=1.0, duration_s=15.0)),
        ("406@2:0.5", Fault("406", at_s=2.0, duration_s=0.5)),
    ],
)
def test_faults_are_read(text: str, fault: Fault) -> None:
    assert parse(text) == fault


@pytest.mark.parametrize("text", ["", "disconnect", "explode@3", "mute@-1", "mute@3s:", "mute@x", "408@3"])
def test_wrong_faults_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="KIND@WHEN"):
        parse(text)


def test_schedule_gives_each_fault_once_when_due() -> None:
    faults = [parse("mute@2s"), parse("garbled@10m"), parse("406@1s")]
    schedule = Schedule(faults)
    assert (schedule.next_s, schedule.next_message) == (1.0, 10)
    assert schedule.due(0.5, 9) == []
    assert [f.kind for f in schedule.due(5.0, 9)] == ["406", "mute"]
    assert [f.kind for f in schedule.due(5.0, 10)] == ["garbled"]
    assert (schedule.next_s, schedule.next_message) == (None, None)


def test_random_faults_repeat_with_their_seed() -> None:
    plan = random_plan(4, 600.0)
    assert plan == random_plan(4, 600.0) != random_plan(5, 600.0)
    assert 30 < len(plan) < 100
    assert {f.kind for f in plan} == set(KINDS)
    counted = random_plan_by_messages(4, 3_000_000)
    assert all(f.at_s is None and f.at_messages is not None for f in counted)


def test_recorded_rows_are_merged_by_time_and_keep_their_order() -> None:
    stretch = [quotes("A", [1, 2, 2, 5]), trades("B", [2, 3]), quotes("C", [2])]
    (part,) = from_batches([stretch])
    assert part.ts.tolist() == [1000, 2000, 2000, 2000, 2001, 3001, 5000]
    assert [part.names[s] for s in part.symbols] == ["A", "A", "A", "C", "B", "B", "A"]
    assert [m[:11] for m in part.messages] == [b'{"T":"q","S'] * 4 + [b'{"T":"t","S'] * 2 + [b'{"T":"q","S']
    assert part.messages[1].startswith(b'{"T":"q","S":"A","bp":1,')
    assert part.messages[2].startswith(b'{"T":"q","S":"A","bp":2,')


def test_slices_are_cut_and_sum_to_the_source() -> None:
    stretches = [[quotes("A", list(range(50))), trades("B", list(range(0, 50, 2)))], [trades("C", [60])], []]
    found = list(slices([[Timed(b) for b in s] for s in stretches], Dialect(), size=20))
    assert [len(p.messages) for p in found] == [20, 20, 20, 15, 1]
    accounts = Accounts(Dialect())
    for part in found:
        accounts.add(part, np.arange(len(part.messages)))
    assert accounts.tally().as_json() == Tally.of(b for s in stretches for b in s).as_json()


def test_accounts_count_places_that_repeat_and_survive_new_symbols() -> None:
    first, second = (next(from_batches([[trades(s, [1, 2])]])) for s in "AB")
    accounts = Accounts(Dialect())
    accounts.add(first, np.array([0, 0, 1]))
    accounts.add(second, np.array([1]))
    accounts.add(first, np.array([1]))
    wanted = Tally()
    for part, places in ((first, [0, 0, 1, 1]), (second, [1])):
        wanted.add_hashed("trades", part.names, part.symbols[places], part.hashes[places])
    assert accounts.tally().as_json() == wanted.as_json()


def test_ledger_adds_up_connections_and_names_what_was_missed(tmp_path: Path) -> None:
    part = next(from_batches([[quotes("A", [1, 2, 3]), trades("A", [4])]]))
    ledger = Ledger(Dialect(), {"kind": "test"}, tmp_path / "oracle.json")
    one, two = ledger.opened("sip"), ledger.opened("iex")
    one.data(part, np.array([0, 1]), frames=1)
    ledger.closed(one, "disconnect")
    two.data(part, np.array([1, 3]), frames=2)
    ledger.miss(part.channels[2:])
    oracle = ledger.write()
    assert oracle["sent"] == {"messages": 4, "frames": 3, "control": 0}
    assert oracle["missed"] == {"quotes": 1, "trades": 1}
    assert oracle["tables"]["quotes"]["A"]["count"] == 3
    assert [c["close_reason"] for c in oracle["connections"]] == ["disconnect", None]
    assert oracle["connections"][0]["tables"]["quotes"]["A"]["count"] == 2
    assert [f.name for f in tmp_path.iterdir()] == ["oracle.json"]


def test_reader_reference_must_lead_to_a_function(tmp_path: Path) -> None:
    source = from_reader("tests.support.lean:read", tmp_path)
    assert list(source.slices) == []
    assert source.about["reader"] == "tests.support.lean:read"
    for wrong in ("tests.support.lean", "tests.support.lean:nothing", "no.such.module:read"):
        with pytest.raises(UsageError, match="source"):
            from_reader(wrong, tmp_path)


def test_rows_of_plant_tables_are_no_messages() -> None:
    with pytest.raises(ValueError, match="positions"):
        Dialect().render(batch(POSITIONS, {}, 0))
