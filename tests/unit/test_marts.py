"""Every model of the package is described, has a grain that is tested, and runs where the package is installed."""

from __future__ import annotations

import re

from tickerplant.tables import TABLES
from tickerplant.transform.catalog import files, models
from tickerplant.transform.project import SHIPPED
from tickerplant.transform.sources import sources


def test_every_model_is_described_with_grain_and_columns() -> None:
    found = models()
    assert sorted(m.name for m in found) == files()
    for model in found:
        assert model.description, model.name
        assert model.grain, f"{model.name}: expected the test `grain`, was without"
        assert model.columns, model.name
        assert all(doc for _, doc in model.columns), model.name
        assert {c.strip('"') for c in model.grain} <= {name for name, _ in model.columns}, model.name


def test_the_grain_of_a_mart_is_the_grain_that_is_tested() -> None:
    tested = {model.name: model.grain for model in models()}
    for path in (SHIPPED / "models").rglob("*.sql"):
        found = re.search(r"grain=\[([^\]]*)\]", path.read_text())
        if found:
            assert tuple(re.findall(r"'([^']*)'", found[1])) == tested[path.stem], path.stem


def test_every_table_is_a_source_with_all_its_columns() -> None:
    [declared] = sources("d", "s")["sources"]
    assert [t["name"] for t in declared["tables"]] == list(TABLES)
    for entry in declared["tables"]:
        table = TABLES[entry["name"]]
        names = [c["name"] for c in entry["columns"]]
        assert names == [*table.schema.names, *(["session"] if table.time else [])]
        assert all(c["description"] for c in entry["columns"])
