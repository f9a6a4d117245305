"""What the DAGs decide, without Airflow: batches, command lines, Connections, hours, what an end means."""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tickerplant.dags
from tickerplant.dags.parts import lines
from tickerplant.dags.parts.alarm import alert_of, tell
from tickerplant.dags.parts.batches import LEAST, MOST, batches
from tickerplant.dags.parts.connections import CONNECTIONS, Facts, environment
from tickerplant.dags.parts.market import capture_end, freshness, is_session_day, snapshots_due
from tickerplant.dags.parts.outcome import level_of, message_of, tail_of
from tickerplant.dags.parts.snapshots import problems
from tickerplant.errors import UsageError
from tickerplant.jobs.child import Done
from tickerplant.settings import STORE_VARIABLES, read_settings

FOLDER = Path(next(iter(tickerplant.dags.__path__)))
FILES = sorted(p for p in FOLDER.glob("*.py") if p.stem != "__init__")
SECRET = "sEcReT-unmistakable-4711"


def new_york(text: str) -> datetime:
    from tickerplant.calendar import NEW_YORK

    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


class TestBatches:
    def test_eleven_thousand_tickers_take_at_most_150_task_instances(self) -> None:
        others = 4  # tickers, batches, landed, complete
        found = batches([f"S{i}" for i in range(11_000)])
        assert len(found) + others <= 150
        assert {len(b) for b in found} == {78, 79}

    @given(st.lists(st.text("ABC", min_size=1, max_size=4), max_size=400), st.integers(1, 150))
    def test_every_symbol_is_in_one_batch(self, symbols: list[str], most: int) -> None:
        found = batches(symbols, most)
        assert sorted(s for b in found for s in b) == sorted(set(symbols))
        assert len(found) <= most
        assert max(map(len, found), default=0) - min(map(len, found), default=0) <= 1
        assert batches(symbols[::-1], most) == found

    def test_few_symbols_make_few_batches_and_none_makes_none(self) -> None:
        assert batches(["B", "A"]) == [["A", "B"]]
        assert batches([]) == []
        assert len(batches([f"S{i}" for i in range(LEAST * 3)])) == 3
        assert MOST <= 146


class TestIngest:
    TODAY = date(2026, 11, 21)

    def test_whole_days_are_one_command_while_they_are_fewer_than_the_tickers(self) -> None:
        (line,) = lines.ingest(lines.Ingest(), ["A"] * 9, self.TODAY)
        assert line[:5] == ["fetch", "--vendor", "polygon", "--table", "daily_bars"]
        assert line[-1] == "--all"
        assert "--no-load" in line
        assert line[line.index("--start") + 1] == "2026-11-16"
        (line,) = lines.ingest(lines.Ingest(universe="sp500"), ["A"] * 9, self.TODAY)
        assert line[-2:] == ["--universe", "sp500"]

    def test_batches_ask_ticker_by_ticker(self) -> None:
        wanted = lines.Ingest(table="bars", interval="1m", start="2026-11-20")
        found = lines.ingest(wanted, [f"S{i}" for i in range(60)], self.TODAY)
        assert len(found) == 2
        assert [line[line.index("--endpoint") + 1] for line in found] == ["bars", "bars"]
        assert sorted(s for line in found for s in line[-1].split(",")) == sorted(f"S{i}" for i in range(60))
        assert found[0][found[0].index("--interval") + 1] == "1m"

    def test_conf_goes_over_the_variable_and_unknown_names_are_refused(self) -> None:
        found = lines.Ingest.of({"table": "bars", "sessions": 2}, {"sessions": 3, "end": ""})
        assert (found.table, found.sessions, found.end) == ("bars", 3, "")
        with pytest.raises(UsageError, match="was tabel"):
            lines.Ingest.of({"tabel": "bars"}, {})

    def test_a_universe_is_a_name_and_no_sql(self) -> None:
        assert "'sp500'" in lines.symbols_query(lines.Ingest(universe="sp500"))[1]
        with pytest.raises(UsageError, match="universe"):
            lines.symbols_query(lines.Ingest(universe="x' or 1=1 --"))
        with pytest.raises(UsageError, match="symbols"):
            lines.snapshot_rows(["SPY", "x' or '1'='1"])


def test_every_command_line_is_one_that_the_command_line_knows() -> None:
    """Options as well: a renamed one must not wait for the night to be noticed."""
    from tickerplant.cli import load_command

    ingest = lines.ingest(lines.Ingest(table="bars"), ["A"], date(2026, 11, 21))[0]
    every = [
        *(lines.TICKERS, lines.LOAD, lines.LOAD_FOLLOW, lines.TRANSFORM, lines.REPAIR, lines.MAINTAIN, lines.HEALTH),
        *(
            ingest,
            lines.symbols_query(lines.Ingest()),
            lines.capture("2026-11-23T20:00-05:00"),
            lines.capture("", "5s"),
        ),
        *(lines.capture("", "5s", True), lines.snapshots(["SPY"], "45m"), lines.quality("2026-11-20")),
    ]
    for name, *words in every:
        command = load_command(name)
        with command.make_context(name, list(words)):
            pass


class TestConnections:
    def test_connections_become_settings(self) -> None:
        given = {
            "tickerplant_alpaca": Facts("PK", SECRET, extra={"ALPACA_PLAN": "plus"}),
            "tickerplant_polygon": Facts(password=SECRET),
            "tickerplant_store": Facts("me", SECRET, "db.example", 5433, "market"),
            "tickerplant_smtp": Facts("me@x", "p:w", "mail.example", 587),
        }
        found = read_settings(environment(given, {"TICKERPLANT_DATA": "/srv/plant"}), None)
        assert (found.alpaca_key, found.alpaca_secret.reveal(), found.alpaca_plan) == ("PK", SECRET, "plus")
        assert found.polygon_key.reveal() == SECRET
        assert found.store.startswith("postgresql://me:")
        assert "@db.example:5433/market" in found.store
        assert found.smtp_url.reveal() == "smtp://me%40x:p%3Aw@mail.example:587"
        assert found.log == "/srv/plant/log"

    def test_a_store_connection_takes_the_place_of_every_other_way(self) -> None:
        found = environment({"tickerplant_store": Facts(host="db")}, {"TICKERPLANT_STORE": "./lake"})
        assert {k: v for k, v in found.items() if v} == {"POSTGRES_HOST": "db"}
        assert set(STORE_VARIABLES) <= set(found)

    def test_names_that_are_no_settings_are_refused_without_their_values(self) -> None:
        for connections, settings in (
            ({}, {"ALPACA_KEY": SECRET}),
            ({"tickerplant_polygon": Facts(extra={"X": SECRET})}, {}),
        ):
            with pytest.raises(UsageError, match="expected names of settings") as refused:
                environment(connections, settings)
            assert SECRET not in str(refused.value)

    def test_nothing_given_changes_nothing_and_no_secret_is_shown(self) -> None:
        assert environment({}, {}) == {}
        assert (
            environment(dict.fromkeys(set(CONNECTIONS) - {"tickerplant_store", "tickerplant_smtp"}, Facts()), {}) == {}
        )
        assert SECRET not in repr(Facts("me", SECRET, extra={"POLYGON_API_KEY": SECRET}))


class TestHours:
    @pytest.mark.parametrize(
        ("at", "end"),
        [
            ("2026-11-20T03:59", "2026-11-20T20:00"),
            ("2026-11-27T03:59", "2026-11-27T17:00"),  # the day after Thanksgiving
            ("2026-03-09T03:59", "2026-03-09T20:00"),  # the first session of daylight-saving time
            ("2026-11-02T03:59", "2026-11-02T20:00"),  # the first one after it
            ("2026-11-26T03:59", None),  # Thanksgiving
            ("2026-11-21T03:59", None),
            ("2026-11-27T17:00", None),
        ],
    )
    def test_a_capture_ends_with_after_hours_of_its_day(self, at: str, end: str | None) -> None:
        assert capture_end(new_york(at)) == (None if end is None else new_york(end))

    def test_days_without_a_session_are_known_in_new_york(self) -> None:
        assert is_session_day(datetime(2026, 11, 21, 1, 30, tzinfo=UTC))  # Friday 20:30 there
        assert not is_session_day(datetime(2026, 11, 22, 1, 30, tzinfo=UTC))

    @pytest.mark.parametrize(("day", "hourly", "daily"), [
        ("2026-11-20", [10, 11, 12, 13, 14, 15, 16], [16]),
        ("2026-11-27", [10, 11, 12, 13], [13]),
        ("2026-11-26", [], []),
    ])  # fmt: skip
    def test_snapshots_are_due_once_or_hourly(self, day: str, hourly: list[int], daily: list[int]) -> None:
        hours = [new_york(f"{day}T{h:02}:05") for h in range(9, 21)]
        assert [at.hour for at in hours if snapshots_due(at, "hourly")] == hourly
        assert [at.hour for at in hours if snapshots_due(at, "daily")] == daily

    def test_another_rhythm_is_refused(self) -> None:
        assert {freshness(r) for r in ("daily", "hourly")} == {"12h", "45m"}
        with pytest.raises(UsageError, match="daily or hourly"):
            snapshots_due(new_york("2026-11-20T12:05"), "weekly")


class TestSnapshots:
    GOOD: ClassVar[dict[str, object]] = {
        **{"symbol": "SPY", "session": "2026-11-20", "price": 10.0},
        **{"low": 9.0, "high": 11.0, "previous_close": 9.5, "change": 0.5},
    }

    def test_good_ones_pass(self) -> None:
        assert problems([self.GOOD], ["SPY"], "2026-11-20") == []
        assert problems([{**self.GOOD, "low": None, "change": None}], ["SPY"], "2026-11-20") == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"session": "2026-11-19"}, "expected 2026-11-20 or later"),
            ({"price": 0.0}, "above 0"),
            ({"price": None}, "above 0"),
            ({"price": 12.0, "change": 2.5}, "from 9.0 to 11.0"),
            ({"change": -0.5}, "expected a change of 0.5"),
        ],
    )
    def test_bad_ones_are_named(self, change: dict[str, object], said: str) -> None:
        (line,) = problems([{**self.GOOD, **change}], ["SPY"], "2026-11-20")
        assert line.startswith("SPY: ")
        assert said in line
        assert problems([], ["SPY"], "2026-11-20") == ["SPY: expected a snapshot, was none"]


def test_lines_keep_their_level() -> None:
    assert level_of("2026-11-21T13:00:00Z [warning  ] job not logged   job=1") == logging.WARNING
    assert level_of("\x1b[2m2026\x1b[0m [\x1b[31m\x1b[1merror    \x1b[0m] broken") == logging.ERROR
    assert level_of("error fetch: expected a key, was none") == logging.ERROR
    assert level_of("about 3 calls through daily_bars") == logging.INFO
    assert "(try again later)" in message_of(["fetch", "A"], Done(75, "", 1.0))
    assert "signal 9" in message_of(["fetch"], Done(-9, "", 1.0))
    assert tail_of('{"a":1}\n{"b":2}\n', 99) == '{"b":2}'
    assert tail_of("x" * 100, 99) == tail_of("", 99) == ""


def test_a_failed_task_becomes_an_alert_that_reaches_the_webhook() -> None:
    from tests.integration.test_health import Received, hook

    ti = SimpleNamespace(dag_id="stocks_polygon_ingest", task_id="land", map_index=7, run_id="manual__1", try_number=4)
    alert = alert_of({"ti": ti, "exception": ValueError("no room")}, datetime(2026, 11, 21, tzinfo=UTC))
    assert alert.name == "airflow stocks_polygon_ingest.land[7]"
    assert "ValueError: no room" in alert.subject
    received = Received()
    with hook(received) as url:
        assert tell(alert, read_settings({"TICKERPLANT_ALERT_WEBHOOK": url}, None)) == ["webhook"]
        received.status = 500
        assert tell(alert, read_settings({"TICKERPLANT_ALERT_WEBHOOK": url}, None)) == []
    assert received.posts[0]["name"] == "airflow stocks_polygon_ingest.land[7]"
    assert "ValueError: no room" in received.posts[0]["text"]
    assert tell(alert, read_settings({}, None)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_dag_files_are_small_and_have_what_airflow_looks_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 80
    assert f'"{path.stem}"' in text
    assert "catchup=False" in text
    assert "max_active_runs=1" in text
    assert "airflow" in text.lower()
    top = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    allowed = ("airflow.sdk", "tickerplant.dags.parts", "datetime", "json", "__future__")
    assert all(line.split()[1].startswith(allowed) for line in top), top


def test_every_pool_that_a_dag_names_is_in_the_file_to_import() -> None:
    import re

    known = set(json.loads((FOLDER / "pools.json").read_text()))
    named = {m for p in FILES for m in re.findall(r'pool=pool\("(\w+)"\)', p.read_text())}
    assert {f"tickerplant_{name}" for name in named} == known
