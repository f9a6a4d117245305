"""What a plan refuses, asked of a vendor on loopback: once, and after a day once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from tests.support.rest import history
from tickerplant.calendar import sessions
from tickerplant.credentials import Credentials, Secret
from tickerplant.jobs.coverage import Dataset
from tickerplant.jobs.fetch_table import FetchPlan, FetchSummary, plan_sessions, run_plan
from tickerplant.logs import open_log
from tickerplant.model import Log, Store
from tickerplant.net.http import HttpOptions, RestClient
from tickerplant.net.limits import Limiter
from tickerplant.rest import Account, RateLimit
from tickerplant.simulator.rest import RestOptions, RestSide, serving
from tickerplant.stores import open_store
from tickerplant.vendors import vendor
from tickerplant.vendors.alphavantage.endpoints import FULL

FIRST, LAST = date(2025, 3, 3), date(2025, 11, 20)
KNOWN = history(6, FIRST, LAST)
SYMBOLS = [r["symbol"] for r in KNOWN.rows("tickers", None, datetime.min.replace(tzinfo=UTC, year=1990),
                                           datetime(2100, 1, 1, tzinfo=UTC)).to_pylist()]  # fmt: skip
DAILY = Dataset("alphavantage", "daily_bars")


@dataclass
class Asker:
    """One account's fetch, at a day after today."""

    log: Log
    store: Store
    client: RestClient
    side: RestSide

    def plan(self, days: float) -> FetchPlan:
        return plan_sessions(self.store, self.client, DAILY, SYMBOLS, sessions(FIRST, LAST), now=_in(days))

    def fetch(self, days: float = 0.0, again: bool = False) -> tuple[FetchSummary, set[tuple[str, str]]]:
        """Plan and run; and who was asked for, the last days or all of them."""
        before = len(self.sizes)
        todos = self.plan(days).todos
        done = run_plan(self.log, self.store, self.client, vendor, todos, now=_in(days), again=again)
        return done, set(self.sizes[before:])

    @property
    def sizes(self) -> list[tuple[str, str]]:
        return self.side.server.sizes  # type: ignore[attr-defined]


def _in(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


@dataclass(frozen=True)
class _Recorder:
    """A vendor's side that notes each series asked for, and its size."""

    inner: object
    sizes: list[tuple[str, str]]

    def answer(self, request, known, account):  # type: ignore[no-untyped-def]
        self.sizes.append((request.param("symbol"), request.param("outputsize")))
        return self.inner.answer(request, known, account)  # type: ignore[attr-defined]


@contextmanager
def asker(folder: Path, *tables: str) -> Iterator[Asker]:
    account = Account(tables=frozenset(tables) if tables else None)
    options = RestOptions(("alphavantage",), account=account)
    with serving(KNOWN, options) as servers, closing(open_store(str(folder / "lake"))) as store:
        side = servers.sides["alphavantage"]
        side.server = _Recorder(side.server, [])  # type: ignore[assignment]
        limiter = Limiter(folder / "limits", "a", [RateLimit(1000, 1.0)])
        rest = vendor("alphavantage").rest
        assert rest is not None
        client = RestClient("alphavantage", rest, Credentials("", Secret("A-KEY-4711")), limiter,
                            {"data": servers.urls["alphavantage"]}, HttpOptions(parallel=4))  # fmt: skip
        yield Asker(open_log(str(folder / "log")), store, client, side)
        limiter.close()


def test_quirk_26_one_refusal_speaks_for_every_symbol_for_a_day(tmp_path: Path) -> None:
    count = len(SYMBOLS)
    with asker(tmp_path, "daily_bars") as asking:
        done, calls = asking.fetch()
        deep = sum(f.reason.startswith("not asked: the plan refused") for f in done.fetched.failures)
        assert Counter(size for _, size in calls) == Counter({"compact": count, "full": 1})
        assert deep == len(done.fetched.failures) - 1 > 1
        left = asking.plan(0.1)
        assert left.before is not None
        assert left.todos == ()
        assert left.before.counts()["not_fetched"] == 0
        assert left.before.counts()["not_entitled"] > 50
        rows = asking.store.query("select outcome, count(*) as n from coverage group by 1").to_pylist()
        told = {r["outcome"]: r["n"] for r in rows}
        assert (told["not_asked"], told["not_entitled"]) == (deep, 1)

        _, calls = asking.fetch(1.5)
        assert sorted(size for _, size in calls) == ["compact", "full"], "after a day one symbol tries"


def test_quirk_26_a_plan_that_has_grown_is_noticed_and_everything_is_fetched(tmp_path: Path) -> None:
    with asker(tmp_path, "daily_bars") as asking:
        asking.fetch()
    with asker(tmp_path, "daily_bars", FULL) as asking:
        assert asking.fetch(0.5)[1] == set()
        done, calls = asking.fetch(1.5)
        assert (done.fetched.failures, sorted(size for _, size in calls)) == ([], ["compact", "full"])
        done, calls = asking.fetch(1.5)
        assert done.fetched.failures == []
        assert sum(size == "full" for _, size in calls) > 1
        found = asking.store.query("select symbol, session, close from daily_bars").to_pylist()
        span = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
        known = KNOWN.rows("daily_bars", SYMBOLS, *span).to_pylist()
        assert {(r["symbol"], r["session"], r["close"]) for r in found} == {
            (r["symbol"], r["session"], r["close"]) for r in known
        }


def test_again_asks_the_plan_at_once(tmp_path: Path) -> None:
    with asker(tmp_path, "daily_bars") as asking:
        asking.fetch()
    with asker(tmp_path) as asking:
        todos = plan_sessions(asking.store, asking.client, DAILY, SYMBOLS[:1], sessions(FIRST, LAST), again=True).todos
        done = run_plan(asking.log, asking.store, asking.client, vendor, todos, again=True)
    assert done.fetched.failures == []
    assert {size for _, size in asking.sizes} == {"compact", "full"}
