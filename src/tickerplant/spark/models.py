"""The SQL of the plant's models as Spark says it: the same files that dbt runs, other macros where dialects differ.

Inputs stand as `{quotes}`, `{trades_latest}`, ... in the SQL, the way `SparkSession.sql` takes frames by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tickerplant.errors import UsageError
from tickerplant.transform.project import SHIPPED

PRESENT_TRADES = "present_trades"
"""The input that is trades in their present state, or in the state known at a moment."""

_DIALECT = Path(__file__).with_name("spark.sql")
_PREFIX = "spark__"
_WORDS = (
    (re.compile(r"\bdouble precision\b"), "double"),
    (re.compile(r"\btimestamptz '"), "timestamp '"),
    # `over w - x` would be an identifier with a hyphen.
    (re.compile(r"\bover ([a-z_]+)"), r"over (\1)"),
)
_QUOTED = re.compile(r'"([a-z_][a-z0-9_]*)"')


@dataclass
class Config:
    """What a model says of itself: a mart or a view, what tells its rows apart, what it is computed by."""

    materialized: str = "mart"
    grain: tuple[str, ...] = ()
    slice: str = "whole"

    def take(self, **words: Any) -> str:
        """What `config(...)` in a model does; nothing is left of it in the SQL."""
        self.materialized = words.get("materialized", self.materialized)
        self.grain = tuple(words.get("grain", self.grain))
        self.slice = words.get("slice", self.slice)
        return ""


@dataclass
class Models:
    """The models of the package and of a user's own folder.

    `variables` are dbt's, `slice` the condition on `session` of what is computed; `is_there` says which marts are read
    as they are rather than computed.
    """

    variables: Mapping[str, Any]
    user: Path | None = None
    slice: str = "true"
    is_there: Callable[[str], bool] = lambda name: False
    _configs: dict[str, Config] = field(default_factory=dict)

    def names(self) -> list[str]:
        """All models, sorted."""
        return sorted(self._paths)

    @cached_property
    def _paths(self) -> dict[str, Path]:
        folders = [SHIPPED / "models", *([self.user] if self.user else [])]
        return {path.stem: path for folder in folders for path in folder.rglob("*.sql")}

    def config(self, name: str) -> Config:
        """What a model says of itself. Raises UsageError for a name that no model has."""
        if name not in self._configs:
            self.sql(name)
        return self._configs[name]

    def sql(self, name: str) -> str:
        """The select of a model in Spark's SQL, its inputs in braces. Raises UsageError for one that is not there."""
        text = self._rendered(name)
        for theirs, ours in _WORDS:
            text = theirs.sub(ours, text)
        return backticked(text)

    def _rendered(self, name: str) -> str:
        if name not in self._paths:
            raise UsageError(f"model: expected one of {', '.join(self.names())}, was {name!r}")
        path = self._paths[name]
        found = self._configs[name] = Config("view" if path.parent.name == "staging" else "mart")
        template = self._environment.from_string(path.read_text())
        return str(template.render(**self._macros, config=found.take))

    def _ref(self, name: str) -> str:
        if name in self._paths and self.config(name).materialized == "mart" and self.is_there(name):
            return f"{{{name}}}"
        return f"({self._rendered(name)})"

    @cached_property
    def _environment(self) -> Any:
        import jinja2

        environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)  # noqa: S701
        environment.globals.update(
            adapter=self,
            ref=self._ref,
            source=lambda group, table: f"{{{table}}}",
            var=lambda key, default=None: self.variables.get(key, default),
            changed=lambda relation, back=None: relation,
            in_slice=lambda: self.slice,
        )
        environment.globals["return"] = self._returned.append
        return environment

    @cached_property
    def _macros(self) -> dict[str, Any]:
        """The macros of the project, those of Spark in the place of their namesakes."""
        paths = [path for path in sorted((SHIPPED / "macros").glob("*.sql")) if not path.stem.startswith("mart_")]
        text = "".join(path.read_text() for path in [*paths, _DIALECT] if path.stem not in ("slices", "tests"))
        module = vars(self._environment.from_string(text).module)
        found = {name: self._call(macro) for name, macro in module.items() if callable(macro)}
        own = {name.removeprefix(_PREFIX): macro for name, macro in found.items() if name.startswith(_PREFIX)}
        return {**found, **own, PRESENT_TRADES: lambda: f"{{{PRESENT_TRADES}}}"}

    _returned: list[Any] = field(default_factory=list)

    def _call(self, macro: Any) -> Any:
        """A macro that gives what it returned, else its text."""

        def called(*words: Any) -> Any:
            self._returned.clear()
            text = macro(*words)
            return self._returned.pop() if self._returned else text

        return called

    def dispatch(self, macro: str, package: str) -> Any:
        """What `adapter.dispatch` gives in a macro: Spark's of that name."""
        return self._macros[f"{_PREFIX}{macro}"]


def backticked(sql: str) -> str:
    """SQL with identifiers in double quotes, as Spark reads it: in backticks."""
    return _QUOTED.sub(r"`\1`", sql)
