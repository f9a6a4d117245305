"""`tickerplant log ls | cat | verify`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from tickerplant.cli.log import app
from tickerplant.errors import UsageError
from tickerplant.logs import open_log
from tickerplant.logs.line import encode
from tickerplant.model import Kind, Record

LINES = [
    encode(Record("alpaca", "sip", kind, 1_763_649_000_000_000_000 + i, b"[%d]" % i))
    for i, kind in enumerate([Kind.CONNECTED, Kind.DATA, Kind.DATA, Kind.DISCONNECTED])
]


def _log(root: Path, lines: list[bytes], number: int = 0) -> None:
    (root / "alpaca.sip").mkdir(exist_ok=True)
    (root / "alpaca.sip" / f"{number:010d}.jsonl").write_bytes(b"".join(lines))


def _run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def test_ls_lists_segments(tmp_path: Path) -> None:
    with open_log(str(tmp_path)).writer("alpaca.iex") as writer:
        writer.append(Kind.DATA, 1, b"[]")
    _log(tmp_path, LINES)
    found = json.loads(_run("ls", "--log", tmp_path, "--json").stdout)
    assert [(s["partition"], s["number"], s["sealed"]) for s in found] == [
        ("alpaca.iex", 0, True),
        ("alpaca.sip", 0, False),
    ]
    assert found[1]["size_bytes"] == found[1]["stored_bytes"] == sum(map(len, LINES))
    text = _run("ls", "--log", tmp_path).stdout
    assert "alpaca.iex" in text
    assert "sealed" in text


def test_cat_prints_lines_as_they_are_stored(tmp_path: Path) -> None:
    _log(tmp_path, LINES)
    assert _run("cat", "--log", tmp_path).stdout.encode() == b"".join(LINES)
    assert _run("cat", "--log", tmp_path, "--kind", "data", "--limit", 1).stdout.encode() == LINES[1]
    assert _run("cat", "--log", tmp_path, "--from", f"0:{len(LINES[0])}").stdout.encode() == b"".join(LINES[1:])
    assert _run("cat", "--log", tmp_path, "--from", len(LINES[0])).stdout.encode() == b"".join(LINES[1:])
    assert _run("cat", "--log", tmp_path, "--limit", 0).stdout == ""


def test_cat_sends_damage_to_stderr(tmp_path: Path) -> None:
    _log(tmp_path, [LINES[0], LINES[1][:-8] + b"\n", LINES[2]])
    found = _run("cat", "--log", tmp_path)
    assert found.stdout.encode() == LINES[0] + LINES[2]
    assert f"0:{len(LINES[0])}: line: expected bytes that match its crc" in found.stderr


def test_wrong_options_are_usage_errors(tmp_path: Path) -> None:
    _log(tmp_path, LINES)
    assert isinstance(_run("cat", "--log", tmp_path, "--from", "x").exception, UsageError)
    wrong = _run("cat", "--log", tmp_path, "--partition", "alpaca.iex")
    assert str(wrong.exception) == "--partition: expected one of alpaca.sip, was alpaca.iex"


def test_verify_exits_with_1_when_bytes_are_damaged(tmp_path: Path) -> None:
    _log(tmp_path, LINES)
    sound = _run("verify", "--log", tmp_path)
    assert sound.exit_code == 0
    assert "4 whole lines in 1 segment, nothing damaged" in sound.stdout
    _log(tmp_path, [LINES[0], LINES[1][:-8] + b"\n", LINES[2]])
    broken = _run("verify", "--log", tmp_path, "--json")
    assert broken.exit_code == 1
    (check,) = json.loads(broken.stdout)
    assert (check["lines"], check["damaged"], check["damaged_bytes"]) == (2, 1, len(LINES[1]) - 7)
    assert check["first_received_at"] == 1_763_649_000_000_000_000
    text = _run("verify", "--log", tmp_path)
    assert text.exit_code == 1
    assert "2 whole lines in 1 segment, 1 damaged stretch" in text.stdout
