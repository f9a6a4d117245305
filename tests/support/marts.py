"""The SQL of a mart, rendered without dbt and run by itself over tables that a test makes, on either store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pandas as pd
import psycopg

from tests.support.postgres import server, short_folder
from tickerplant.transform.project import SHIPPED


class Marts:
    """Marts of one kind of store. `put` makes an input, `build` runs a mart's SQL and keeps it as a table."""

    def __init__(self, kind: str, run: Any, variables: Mapping[str, Any] | None = None) -> None:
        self.kind, self.run, self.variables = kind, run, dict(variables or {})

    def put(self, name: str, rows: pd.DataFrame) -> None:
        """Make a table of a frame."""
        if self.kind == "duckdb":
            self.run.register("given", rows)
            days = [c for c, t in rows.dtypes.items() if _postgres_type(t) == "date"]
            changed = f"* replace ({', '.join(f'{c}::date as {c}' for c in days)})" if days else "*"
            self.run.execute(f"create or replace table {name} as select {changed} from given")
            self.run.unregister("given")
            return
        columns = ", ".join(f"{c} {_postgres_type(t)}" for c, t in rows.dtypes.items())
        self.run.execute(f"drop table if exists {name}")
        self.run.execute(f"create table {name} ({columns})")
        text = StringIO()
        rows.to_csv(text, index=False, header=False, na_rep="\\N")
        with self.run.cursor().copy(f"copy {name} from stdin (format csv, null '\\N')") as copy:
            copy.write(text.getvalue())
        self.run.execute(f"analyze {name}")

    def build(self, name: str, order: str, **variables: Any) -> pd.DataFrame:
        """Run a mart, keep it under its name, give its rows."""
        sql = render(name, self.kind, {**self.variables, **variables})
        self.run.execute(f"drop table if exists {name}")
        self.run.execute(f"create table {name} as {sql}")
        return self.rows(f"select * from {name} order by {order}")

    def rows(self, sql: str) -> pd.DataFrame:
        """The rows of a query."""
        if self.kind == "duckdb":
            return pd.DataFrame(self.run.sql(sql).to_arrow_table().to_pandas())
        cursor = self.run.execute(sql)
        return pd.DataFrame(cursor.fetchall(), columns=[d.name for d in cursor.description])


@contextmanager
def marts(kind: str) -> Iterator[Marts]:
    """An empty database of its own: `duckdb` in memory or a schema of the embedded `postgres`."""
    if kind == "duckdb":
        with duckdb.connect() as database:
            database.execute("set timezone = 'UTC'")
            yield Marts(kind, database)
        return
    schema = short_folder().name.replace("-", "_").lower()
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute(f'create schema "{schema}"'.encode())
        link.execute(f'set search_path = "{schema}"; set client_min_messages = error'.encode())
        link.execute("set timezone = 'UTC'")
        try:
            yield Marts(kind, link)
        finally:
            link.execute(f'drop schema "{schema}" cascade'.encode())


def render(name: str, kind: str, variables: Mapping[str, Any]) -> str:
    """The SQL of a model, its inputs as plain names, all of them read in full."""
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)
    returned: list[Any] = []
    macros: dict[str, Any] = {}

    class Adapter:
        @staticmethod
        def dispatch(macro: str, package: str) -> Any:
            return macros[f"{kind}__{macro}"]

    def call(macro: Any) -> Any:
        def called(*words: Any) -> Any:
            returned.clear()
            text = macro(*words)
            return returned.pop() if returned else text

        return called

    def ref(model: str) -> str:
        return f"({render(model, kind, variables)})" if model == "sale_conditions" else model

    environment.globals.update(
        adapter=Adapter,
        ref=ref,
        var=lambda key, default=None: variables.get(key, default),
        config=lambda **words: "",
        changed=lambda relation, back=None: relation,
        in_slice=lambda: "true",
    )
    environment.globals["return"] = returned.append
    text = "".join((SHIPPED / "macros" / f"{n}.sql").read_text() for n in ("windows", "ticks", "sale_conditions"))
    module = environment.from_string(text).module
    macros.update({n: call(m) for n, m in vars(module).items() if callable(m)})
    return environment.from_string(_model(name).read_text()).render(**macros)


def _model(name: str) -> Path:
    return SHIPPED / "models" / "marts" / f"{name}.sql"


def _postgres_type(kind: Any) -> str:
    text = str(kind)
    known = {"float64": "double precision", "int64": "bigint", "int32": "integer", "bool": "boolean"}
    if text.startswith("datetime64"):
        return "timestamptz" if "UTC" in text else "date"
    return known.get(text, "text")
