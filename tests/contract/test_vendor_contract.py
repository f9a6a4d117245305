"""What every vendor must keep to. A vendor with a live side brings `samples/*` and `samples/expected.json`.

What is asked of REST sides stands in `test_rest_contract.py`.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest

import tickerplant.vendors as package
from tickerplant.errors import UsageError
from tickerplant.model import Credentials, Decoded, Entry, Kind, Position, Record, Secret, Selection, Vendor
from tickerplant.vendors import vendor, vendors

ROOM = Path(package.__file__).parent
RECEIVED = 1_773_063_000_123_456_789
SAMPLES = [
    pytest.param(found, path, id=f"{name}-{path.name}")
    for name, found in vendors().items()
    if found.dialogue is not None
    for path in sorted((ROOM / name / "samples").iterdir())
    if path.name != "expected.json"
]
each_vendor = pytest.mark.parametrize("found", [pytest.param(v, id=name) for name, v in vendors().items()])
each_live = pytest.mark.parametrize("found", [pytest.param(v, id=n) for n, v in vendors().items() if v.dialogue])
each_sample = pytest.mark.parametrize(("found", "path"), SAMPLES)


def _expected(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name("expected.json").read_text())[path.name]


def _entry(found: Vendor, payload: bytes, at: int = 0) -> Entry:
    return Entry(Position(at), Position(at + 1), Record(found.name, "test", Kind.DATA, RECEIVED + at, payload))


def _payload(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\n") if path.suffix != ".msgpack" else path.read_bytes()


def _rows(decoded: Decoded) -> dict[str, list[dict[str, Any]]]:
    """Content of the rows by table, times as ISO text."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for table, batch in decoded.batches:
        plain = batch.select(list(table.content)).to_pylist()
        rows.setdefault(table.name, []).extend(
            {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()} for row in plain
        )
    return rows


def _messages(decoded: Decoded) -> int:
    return sum(b.rows.num_rows for b in decoded.batches) + len(decoded.rejects) + decoded.control


@each_sample
def test_sample_becomes_exactly_the_expected_rows(found: Vendor, path: Path) -> None:
    decoded = found.decode([_entry(found, _payload(path))])
    expected = _expected(path)
    assert _rows(decoded) == expected["rows"]
    assert decoded.control == expected["control"]
    assert [[r.item, r.channel, r.reason] for r in decoded.rejects] == expected["rejects"]


@each_sample
def test_rows_have_the_tables_schema_and_our_envelope(found: Vendor, path: Path) -> None:
    for table, rows in found.decode([_entry(found, _payload(path))]).batches:
        table.check(rows)
        rows.validate(full=True)
        assert rows.num_rows
        assert set(rows["vendor"].to_pylist()) == {found.name}
        assert set(rows["feed"].to_pylist()) == {"test"}
        assert set(rows["received_at"].cast("int64").to_pylist()) == {RECEIVED // 1000}
        assert rows["seq"].to_pylist() == sorted(set(rows["seq"].to_pylist()))
        assert all(not rows.column(field.name).null_count for field in table.schema if not field.nullable)


@each_live
def test_every_sample_is_expected_and_every_expectation_has_its_sample(found: Vendor) -> None:
    folder = ROOM / found.name / "samples"
    expected = json.loads((folder / "expected.json").read_text())
    assert sorted(expected) == sorted(p.name for p in folder.iterdir() if p.name != "expected.json")


@each_live
def test_all_samples_in_one_call_cost_each_other_nothing(found: Vendor) -> None:
    paths = [path.values[1] for path in SAMPLES if path.values[0] is found]
    assert paths
    entries = [_entry(found, _payload(Path(str(path))), at * 1000) for at, path in enumerate(paths)]
    together = found.decode(entries)
    alone = [found.decode([entry]) for entry in entries]
    assert _messages(together) == sum(map(_messages, alone))
    assert together.rejects == tuple(r for d in alone for r in d.rejects)
    for table, rows in _rows(together).items():
        assert rows == [row for d in alone for row in _rows(d).get(table, [])]


@each_vendor
@pytest.mark.parametrize("payload", [b"", b"\x00", b"nonsense", b"\xff" * 9, b"[" * 100_000, b"\x91" * 100_000, b"[1]"])
def test_bytes_that_are_nothing_are_one_reject_that_keeps_them(found: Vendor, payload: bytes) -> None:
    (reject,) = found.decode([_entry(found, payload, 7)]).rejects
    assert (reject.start, reject.vendor, reject.feed, reject.received_at) == (7, found.name, "test", RECEIVED + 7)
    assert reject.item == -1 or payload == b"[1]"
    assert reject.payload in (payload, b"1")
    assert reject.reason


@each_vendor
def test_decode_of_nothing_is_nothing_and_leaves_the_collector_on(found: Vendor) -> None:
    assert gc.isenabled()
    assert found.decode([]) == Decoded()
    assert gc.isenabled()


@each_vendor
def test_dialogue_names_its_channels_and_hides_the_secret(found: Vendor) -> None:
    if found.dialogue is None:
        return
    keys = Credentials("a-key", Secret("very-secret"))
    dialogue = found.dialogue(Selection(found.channels, ("ABC",)), keys)
    assert dialogue.channels == found.channels
    assert set(dialogue.markers) <= set(found.channels)
    assert len(set(dialogue.markers.values())) == len(dialogue.markers)
    assert "very-secret" not in f"{dialogue!r} {dialogue.headers!r} {vars(dialogue)!r}"
    with pytest.raises(UsageError, match="no_such_channel"):
        found.dialogue(Selection(("no_such_channel",)), keys)


@each_vendor
def test_default_url_names_a_feed(found: Vendor) -> None:
    assert (found.default_url is None) == (found.feed_of is None)
    if found.default_url and found.feed_of:
        assert found.feed_of(found.default_url)


def test_vendors_are_found_by_folder() -> None:
    folders = sorted(p.parent.name for p in ROOM.glob("*/__init__.py"))
    assert list(vendors()) == folders
    assert "alpaca" in folders
    assert vendor("alpaca").name == "alpaca"


def test_unknown_vendor_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"expected one of .*alpaca.*, was 'alpacca'"):
        vendor("alpacca")
