"""The vendor's secret is nowhere but on the wire: not in output, log, lake or a command line."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.support.plant import query, simulator, tickerplant_command, wait_for
from tickerplant.tables import VENDOR_TABLES

KEY = "PKUNMISTAKABLEKEY"
SECRET = "sEcReT-UnMiStAkAbLe-4711"
WRONG = "wRoNg-UnMiStAkAbLe-0815"
_MARKET = ("--seed", "7", "--symbols", "20", "--minutes", "5", "--speed", "60", "--linger", "60")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that the simulator accepts, in the environment of every process started here."""
    for name, value in (
        ("ALPACA_API_KEY", KEY),
        ("ALPACA_SECRET_KEY", SECRET),
        ("SIMULATE_SECRET", SECRET),
        ("LOG_LEVEL", "debug"),
    ):
        monkeypatch.setenv(name, value)


def _family(pid: int) -> Iterator[int]:
    """A process and all that come from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def command_lines(*pids: int) -> bytes:
    """The command lines of processes and all that come from them."""
    return b"\n".join(Path(f"/proc/{p}/cmdline").read_bytes() for pid in pids for p in _family(pid))


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, compressed ones also uncompressed."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        yield str(path), data
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as stream:
                yield f"{path}, uncompressed", stream.read()


def _rows(store: Path) -> Iterator[tuple[str, bytes]]:
    """Every row: Parquet compresses its pages."""
    for table in (*(t.name for t in VENDOR_TABLES), "gaps", "quarantine", "positions"):
        yield f"rows of {table}", repr(query(store, f'select * from "{table}"')).encode()


def _where(secret: str, places: dict[str, bytes]) -> list[str]:
    """The places that hold a secret, plain or in base64."""
    plain = secret.encode()
    coded = [base64.b64encode(b" " * i + plain)[4:-4] for i in range(3)]
    return [name for name, data in places.items() if any(form in data for form in (plain, *coded))]


def _plant(url: str, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    arguments = ("run", "--url", url, "--symbols", "*", "--log", folder / "log", "--store", folder / "lake")
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        return subprocess.Popen(
            [*tickerplant_command(*arguments), "--for", "1h", "--json"],
            stdout=out,
            stderr=err,
            env={**os.environ, **environment},
            cwd=folder,
        )


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"x" * 100 + SECRET.encode()))
    (tmp_path / "b").write_bytes(base64.b64encode(f'{{"secret":"{SECRET}"}}'.encode()))
    found = _where(SECRET, dict(contents(tmp_path)))
    assert {f"{tmp_path}/a.zst, uncompressed", f"{tmp_path}/b"} <= set(found)
    assert _where(WRONG, dict(contents(tmp_path))) == []


@pytest.mark.usefixtures("keys")
def test_a_whole_run_leaves_no_secret_anywhere(tmp_path: Path) -> None:
    oracle = tmp_path / "oracle.json"
    faults = ("--fault", "garbled@1s", "--fault", "disconnect@2s:0.5s")
    with (
        (tmp_path / "simulator").open("wb") as err,
        simulator(*_MARKET, *faults, "--key", KEY, "--oracle", oracle, stderr=err) as (url, market),
    ):
        plant = _plant(url, tmp_path)
        try:
            wait_for(lambda: list((tmp_path / "lake").glob("quotes/**/*.parquet")) or _is_complete(oracle), 60)
            lines = command_lines(plant.pid, market.pid)
            wait_for(lambda: _is_complete(oracle), 60, "the end of the market")
            plant.send_signal(signal.SIGTERM)
            assert plant.wait(60) == 0, (tmp_path / "stderr").read_text()
        finally:
            plant.kill()
            plant.wait()

    assert lines.count(b"tickerplant") >= 3
    places = {"command lines": lines, **dict(contents(tmp_path)), **dict(_rows(tmp_path / "lake"))}
    assert any(name.endswith(".jsonl.zst, uncompressed") and b'"T":"q"' in data for name, data in places.items())
    assert query(tmp_path / "lake", "select count(*) > 1000 as many from quotes") == [{"many": True}]
    assert json.loads((tmp_path / "stdout").read_text())["capture"]["connections"] == 2
    assert _where(SECRET, places) == []


@pytest.mark.usefixtures("keys")
def test_a_wrong_secret_ends_with_1_names_the_variables_and_shows_nothing(tmp_path: Path) -> None:
    with (
        (tmp_path / "simulator").open("wb") as err,
        simulator(*_MARKET, "--key", KEY, "--oracle", tmp_path / "oracle.json", stderr=err) as (url, _),
    ):
        plant = _plant(url, tmp_path, ALPACA_SECRET_KEY=WRONG)
        try:
            code = plant.wait(60)
        finally:
            plant.kill()
            plant.wait()

    said = (tmp_path / "stderr").read_text()
    assert code == 1, said
    (message,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "ALPACA_API_KEY" in message
    assert "ALPACA_SECRET_KEY" in message
    places = {**dict(contents(tmp_path)), **dict(_rows(tmp_path / "lake"))}
    assert any("/log/" in name for name in places)
    assert _where(WRONG, places) == _where(SECRET, places) == []


def _is_complete(oracle: Path) -> bool:
    return oracle.exists() and bool(json.loads(oracle.read_text())["complete"])
