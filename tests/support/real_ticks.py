"""PostgreSQL as the store of the campaign with recorded ticks."""

from __future__ import annotations

from pathlib import Path

from tests.support.plant import ask, query
from tests.support.postgres import server


def store_url(kind: str, folder: Path) -> str:
    """A new store for a campaign: `lake` in the folder, or `postgres`, this process's embedded server."""
    if kind == "lake":
        return str(folder / "lake")
    ask("init", "--store", server().url)
    return server().url


def bytes_per_quote(store: str) -> float:
    """Bytes on disk of a quote, indexes included."""
    if "://" in store:
        [found] = query(store, _SIZE)
        return float(found["size"]) / float(found["rows"])
    from deltalake import DeltaTable

    sizes = DeltaTable(f"{store}/quotes").get_add_actions(flatten=True)
    rows, size = (sum(sizes[name].to_pylist()) for name in ("num_records", "size_bytes"))
    return float(size) / float(rows)


_SIZE = """
select (select sum(pg_total_relation_size(relid))::bigint from pg_partition_tree('quotes')) as size,
    (select count(*) from quotes) as rows"""
