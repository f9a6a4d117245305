"""A mart of the lake that is written without dbt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import duckdb

from tickerplant.stores.lake_marts import Marts, Note, source
from tickerplant.stores.object_path import Folder
from tickerplant.transform.lake_job import MartJob
from tickerplant.transform.lake_write import Base, Written, write_mart

Row = tuple[str, date, float]
FIRST = date(2024, 1, 1)
NOTE = Note("signature", {}, {}, [])


class Mart:
    """A mart `m` of symbol, session and x, made from the rows of a table `computed`."""

    def __init__(self, root: Folder, bucket: str = "year", grain: Sequence[str] = ("symbol", "session")) -> None:
        self.marts, self.bucket, self.grain = Marts(root), bucket, tuple(grain)
        self.database = duckdb.connect()
        self.database.execute("create table computed (symbol varchar, session date, x double)")
        self.log, self.version = self.marts.log("m"), -1

    def build(self, rows: Sequence[Row], where: str | None = None) -> dict[str, list[str]]:
        """Build with the rows there would be computed: those of sessions in `where`, or of all; returns the changes."""
        self.database.execute("delete from computed")
        for row in rows:
            self.database.execute("insert into computed values (?, ?, ?)", row)
        mode = "sessions" if where else "full"
        sql = "select * from computed"
        job = MartJob("m", "", sql, mode, where or "true", None, (), (), "signature", self.grain, self.bucket)
        found = self.write(job)
        self.show()
        return found.changes

    def write(self, job: MartJob) -> Written:
        """Write what a job computes, compared with what was there last."""
        found = write_mart(self.database, self.marts, job, NOTE, Base(NOTE, self.version))
        self.version = self.log.refresh().version
        return found

    def show(self) -> None:
        """Make the view `m` of the mart as it is now."""
        self.version, files = self.log.refresh().version, self.log.files()
        shown = source(self.log.folder, files, "m", self.database.register)
        self.database.execute(f"create or replace view m as {shown}")

    def rows(self) -> list[Row]:
        """The mart's rows, in order."""
        return self.database.sql("select symbol, session, x from m order by all").fetchall()

    def files(self) -> dict[str, int]:
        """Its files, with the number of their rows."""
        return {file.path: file.stats.num_records for file in self.log.files()}


def day(number: int) -> date:
    """A session by its number."""
    return FIRST + timedelta(days=number)


def on(number: int) -> str:
    """The condition of one session."""
    return f"session = date '{day(number)}'"


def check_replaced_row(mart: Mart) -> None:
    """Replace one row of a new mart, and see that only the file that holds it is written again."""
    mart.build([("A", day(0), 1.0), ("B", day(400), 2.0)])
    mart.build([("A", day(1), 1.0), ("B", day(1), 2.0)], on(1))
    mart.build([("A", day(2), 1.0)], on(2))
    before = mart.files()
    mart.build([("A", day(1), 9.0), ("C", day(1), 3.0)], on(1))
    after = mart.files()
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    assert ([before[p] for p in gone], [after[p] for p in come]) == ([2], [2])
    assert mart.rows() == [
        ("A", day(0), 1.0),
        ("A", day(1), 9.0),
        ("A", day(2), 1.0),
        ("B", day(400), 2.0),
        ("C", day(1), 3.0),
    ]
