"""The whole path in msgpack: frames that are no JSON are kept byte for byte, and the rows are the same."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import msgspec

from tests.support.plant import ask, log_records, query, simulator, store_tally, tickerplant, wait_for
from tickerplant.fingerprint import Tally
from tickerplant.logs.line import decode
from tickerplant.model import Kind

_MARKET = ("--seed", "11", "--symbols", "50", "--minutes", "5", "--speed", "0", "--linger", "60")


def _captured(folder: Path) -> tuple[dict[str, int], Tally]:
    """Play a market at a capture in msgpack; what it counted and what was sent."""
    oracle, log = folder / "oracle.json", folder / "log"
    with simulator(*_MARKET, "--oracle", oracle) as (url, _):
        capture = tickerplant(
            *("capture", "--url", url, "--symbols", "*", "--channels", "quotes,trades,bars", "--log", log),
            *("--encoding", "msgpack", "--for", "1h", "--json"),
        )
        wait_for(lambda: oracle.exists() and json.loads(oracle.read_text())["complete"], 60, "the end of the market")
        capture.send_signal(signal.SIGTERM)
        output, _ = capture.communicate(timeout=30)
    assert capture.returncode == 0
    return json.loads(output)["messages"], Tally.from_json(json.loads(oracle.read_text())["tables"])


def test_a_market_in_msgpack_reaches_the_store_and_the_log_prints_it(tmp_path: Path) -> None:
    log, store = tmp_path / "log", tmp_path / "lake"
    counted, sent = _captured(tmp_path)

    ask("load", "--log", log, "--store", store)

    found = store_tally(store)
    assert found.tables == sent.tables
    assert {t: found.total(t).count for t in ("quotes", "trades", "bars")} == counted
    assert counted["quotes"] > 1_000
    assert query(store, "select count(*) as n from quarantine") == [{"n": 0}]
    _check_lines(
        ask("log", "cat", "--log", log, "--kind", "data").splitlines(),
        log,
        sum(sent.total(t).count for t in sent.tables),
    )


def _check_lines(lines: list[str], log: Path, messages: int) -> None:
    """Each line is JSON with the frame in base64, and reads back as the record of the log."""
    records = [r for r in log_records(log) if r.kind is Kind.DATA]
    assert [decode(line.encode()) for line in lines] == records
    found = 0
    for line, record in zip(lines, records, strict=True):
        shown = json.loads(line)
        assert list(shown) == ["crc", "rx", "v", "c", "k", "b"]
        assert base64.b64decode(shown["b"]) == record.payload
        frame = msgspec.msgpack.decode(record.payload)
        assert {m["T"] for m in frame} <= {"q", "t", "b", "c", "x"}
        found += len(frame)
    assert found == messages
