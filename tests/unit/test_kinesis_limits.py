"""Calls of a shipper that is given far more than one call may hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.options import MAX_CALL_BYTES, MAX_RECORD_BYTES, MAX_RECORDS, KinesisOptions
from tickerplant.logs.kinesis.packing import head_of
from tickerplant.logs.kinesis.service import Put, Service
from tickerplant.logs.kinesis.shipper import Shipper
from tickerplant.model import Kind

PARTITION = "alpaca.sip"


class Recording(Service):
    """A service in memory that stores everything and remembers the calls."""

    def __init__(self) -> None:
        self.stream, self.calls, self.found = "memory", list[list[Put]](), dict[str, str]()

    def put(self, records: Sequence[Put]) -> list[str | None]:
        self.calls.append(list(records))
        return [None] * len(records)

    def tags(self) -> dict[str, str]:
        return self.found

    def tag(self, key: str, value: str) -> None:
        self.found[key] = value


@pytest.mark.parametrize(("lanes", "symbols", "size"), [(12, 60, 9_000), (500, 4_000, 10)])
def test_every_call_is_within_the_limits(tmp_path: Path, lanes: int, symbols: int, size: int) -> None:
    spool, service = FilesLog(tmp_path), Recording()
    text = "x" * size
    with spool.writer(PARTITION) as writer:
        for i in range(30):
            messages = [{"S": f"S{(i * 7 + j) % symbols}", "i": i, "x": text} for j in range(min(symbols, 4_000))]
            writer.append(Kind.DATA, 10**18 + i * 1000, json.dumps(messages).encode())
        writer.append(Kind.RESPONSE, 2 * 10**18, b'"' + b"y" * 3_000_000 + b'"')
    options = KinesisOptions("memory", tmp_path, lanes=lanes, record_bytes=1020 * 2**10, batch_age_s=60.0)
    shipper = Shipper(PARTITION, spool, service, options)
    assert shipper.drain(60)
    shipper.close()
    for call in service.calls:
        sizes = [len(put.data) + len(put.key.encode()) for put in call]
        assert len(call) <= MAX_RECORDS
        assert sum(sizes) <= MAX_CALL_BYTES
        assert max(sizes) <= MAX_RECORD_BYTES
        assert len({put.key for put in call}) == len(call), "of each lane one record is on its way"
    most = max(len(call) for call in service.calls)
    largest = max(sum(len(put.data) for put in call) for call in service.calls)
    assert most == MAX_RECORDS if lanes == MAX_RECORDS else largest > MAX_CALL_BYTES // 2
    assert service.found == {f"tickerplant/{PARTITION}": f"0 {lanes}"}
    previous: dict[str, int] = {}
    for put in (put for call in service.calls for put in call):
        found = head_of(put.data)
        assert found is not None
        if found[0].part is None:
            assert found[0].prev == previous.get(put.key, -1), "each record names the one before it"
            previous[put.key] = int(found[1].rsplit(b'"rx":', 1)[1][:19])
