"""Health finds what is wrong and says so once, over real HTTP and SMTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.support.holes import Cut, market, write_log
from tickerplant.calendar import session
from tickerplant.credentials import Credentials, Secret
from tickerplant.jobs.accounts import LIMITS_FILE
from tickerplant.jobs.alerts import ALERTS_FILE, Alert, alert, channels
from tickerplant.jobs.finding import Check, Outcome
from tickerplant.jobs.health import health, worst
from tickerplant.jobs.joblog import job
from tickerplant.jobs.load import load
from tickerplant.jobs.load_share import SEATS
from tickerplant.logs import open_log
from tickerplant.net.limits import Limiter, account_name
from tickerplant.rest import RateLimit
from tickerplant.settings import Settings, read_settings
from tickerplant.stores import StoreOptions, open_store
from tickerplant.vendors import vendor

SOURCE = market(symbols=3, minutes=1, rate=20)
SUNDAY = datetime(2025, 11, 23, 15, tzinfo=UTC)


@dataclass
class Received:
    """What a webhook and a mail server were given; `status` is what the webhook answers."""

    posts: list[dict[str, Any]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    status: int = 204

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Called by aiosmtpd for each message."""
        self.mails.append(envelope.content.decode())
        return "250 OK"


@contextmanager
def hook(received: Received) -> Iterator[str]:
    """A webhook on a free port; yields its URL, with a token in it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with closing_server(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/T0K3N"


def free_port() -> int:
    """A port that nobody listens on: aiosmtpd connects to the port it was told, so it cannot be told 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def closing_server(server: HTTPServer) -> Iterator[HTTPServer]:
    """Serve in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings_of(folder: Path, **more: str) -> Settings:
    return read_settings({"TICKERPLANT_DATA": str(folder), **more}, None)


def found(folder: Path, now: datetime = SUNDAY, **more: str) -> dict[str, Check]:
    """Findings by name."""
    checks = health(settings_of(folder, **more), StoreOptions(), now)
    return {c.name: c for c in checks}


def outcomes(checks: dict[str, Check]) -> dict[str, Outcome]:
    return {n: c.outcome for n, c in checks.items() if n not in ("clock", "disk of the log", "disk of the store")}


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    write_log(tmp_path / "log", SOURCE)
    with closing(open_store(str(tmp_path / "lake"))) as store:
        load(open_log(str(tmp_path / "log")), store, vendor)
    return tmp_path


def test_a_loaded_plant_is_well_outside_sessions(plant: Path) -> None:
    well = found(plant)
    names = ("feed alpaca.sip", "lag alpaca.sip", "store", "gaps", "quarantine")
    assert outcomes(well) == dict.fromkeys(names, "ok")
    assert well["disk of the log"].value is not None


def test_in_a_session_somebody_has_to_write(plant: Path) -> None:
    day = session(SUNDAY.date() - timedelta(days=2))
    assert day is not None
    nobody = found(plant, day.open)["feed alpaca.sip"]
    assert (nobody.outcome, nobody.found) == ("fail", "no capture runs in a session")
    with open_log(str(plant / "log")).writer("alpaca.sip") as writer:
        fresh = found(plant, day.open)["feed alpaca.sip"]
        assert fresh.outcome == "ok"
        for path in (plant / "log" / "alpaca.sip").iterdir():
            _age(path, 300)
        silent = found(plant, day.open)["feed alpaca.sip"]
        assert silent.outcome == "fail"
        assert "nothing written for 300 s" in silent.found
        writer.sync()


def test_a_share_that_is_captured_otherwise_now_and_a_loader_that_is_gone_are_told(plant: Path) -> None:
    day = session(SUNDAY.date() - timedelta(days=2))
    assert day is not None
    log = open_log(str(plant / "log"))
    with log.writer("alpaca.sip.1of2"), log.writer("alpaca.sip.2of2"):
        former = found(plant, day.open)["feed alpaca.sip"]
        assert (former.outcome, former.found) == ("ok", "captured in 2 shares now")
    assert found(plant, day.open)["feed alpaca.sip.1of2"].outcome == "fail"
    with closing(open_store(str(plant / "lake"))) as store, store.loading(SEATS[0]):
        assert "loaders" not in found(plant)
        fewer = found(plant, TICKERPLANT_RUN_LOADERS="2")["loaders"]
        assert (fewer.outcome, fewer.found) == ("warn", "1 of 2 follow the log")


def _age(path: Path, seconds: float) -> None:
    import os

    at = time.time() - seconds
    os.utime(path, (at, at))


def test_what_is_not_loaded_not_healed_or_failed_is_named(tmp_path: Path) -> None:
    write_log(tmp_path / "log", SOURCE, [Cut(20.0, 30.0)])
    behind = found(tmp_path)
    assert behind["lag alpaca.sip"].outcome == "fail"
    with closing(open_store(str(tmp_path / "lake"))) as store:
        load(open_log(str(tmp_path / "log")), store, vendor)
        with pytest.raises(ZeroDivisionError), job(store, "fetch", {}):
            raise ZeroDivisionError
    # The market of the log is of 20 November 2025, the job is of today.
    later = found(tmp_path, datetime(2025, 11, 20, 20, tzinfo=UTC))
    assert (later["gaps"].outcome, later["gaps"].do) == ("warn", "tickerplant repair")
    failed = found(tmp_path, datetime.now(UTC))["job fetch"]
    assert failed.outcome == "fail"
    assert "ZeroDivisionError" in failed.found


def test_a_store_that_is_away_and_a_spent_day_are_findings(plant: Path) -> None:
    away = found(plant, TICKERPLANT_STORE="postgresql://nobody:hidden@127.0.0.1:1/none")
    assert away["store"].outcome == "fail"
    assert "hidden" not in away["store"].found
    credentials = Credentials("", Secret("key"))
    limit = RateLimit(25, 86_400.0)
    limiter = Limiter(plant / LIMITS_FILE, account_name("alphavantage", credentials), [limit])
    assert [limiter.take() for _ in range(25)] == [0.0] * 25
    limiter.close()
    quota = found(plant, ALPHA_VANTAGE_API_KEY="key")["quota alphavantage"]
    assert (quota.outcome, quota.found, quota.value) == ("warn", "25 of 25 calls today", 25)


def test_an_alert_comes_once_and_is_called_over_once_by_post_and_mail(tmp_path: Path) -> None:
    received = Received()
    server = Controller(received, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        with hook(received) as url:
            mail = f"smtp://127.0.0.1:{server.port}"
            send = channels(
                settings_of(
                    tmp_path,
                    TICKERPLANT_ALERT_WEBHOOK=url,
                    TICKERPLANT_ALERT_EMAIL="ops@example.org",
                    TICKERPLANT_SMTP_URL=mail,
                )
            )
            bad, well = Check("store", "fail", "was away", "start it"), Check("store", "ok", "answers")
            warned = Check("gaps", "warn", "3 not healed")
            for checks in ([bad, warned], [bad, warned], [bad], [well], [well], [bad]):
                alert(tmp_path, checks, send)
    finally:
        server.stop()
    told = [(p["name"], p["state"], p["found"]) for p in received.posts]
    assert told == [("store", "firing", "was away"), ("store", "over", "answers"), ("store", "firing", "was away")]
    assert received.posts[0]["id"] == received.posts[1]["id"]
    assert len(received.mails) == 3
    assert "Subject: tickerplant: store fail: was away" in received.mails[0]
    assert "To: ops@example.org" in received.mails[0]
    assert "do: start it" in received.mails[0]
    assert "Subject: tickerplant: store is over: answers" in received.mails[1]
    assert "T0K3N" not in (tmp_path / ALERTS_FILE).read_text()


def test_an_alert_that_was_not_taken_comes_again_and_one_that_never_was_is_not_called_over(tmp_path: Path) -> None:
    received = Received(status=503)
    bad, well = Check("disk", "fail", "full"), Check("disk", "ok", "free")
    with hook(received) as url:
        send = channels(settings_of(tmp_path, TICKERPLANT_ALERT_WEBHOOK=url))
        assert alert(tmp_path, [bad], send) == []
        assert alert(tmp_path, [well], send) == []
        assert alert(tmp_path, [bad], send) == []
        received.status = 204
        [told] = alert(tmp_path, [bad], send)
        assert alert(tmp_path, [bad], send) == []
        received.status = 503
        assert alert(tmp_path, [well], send) == []
        received.status = 204
        [over] = alert(tmp_path, [well], send)
    assert isinstance(told, Alert)
    assert (told.state, over.state, told.id == over.id) == ("firing", "over", True)
    assert json.loads((tmp_path / ALERTS_FILE).read_text()) == {}


def test_warnings_alert_when_asked_for(tmp_path: Path) -> None:
    told: list[Alert] = []
    alert(tmp_path, [Check("gaps", "warn", "3 not healed")], {"list": told.append}, "warn")
    assert [a.subject for a in told] == ["tickerplant: gaps warn: 3 not healed"]
    assert worst([Check("a", "ok", ""), Check("b", "warn", "")]) == "warn"
