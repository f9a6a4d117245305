"""The models of the package as their yml files describe them: for docs, and for tests that they are described."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickerplant.transform.project import SHIPPED


@dataclass(frozen=True)
class Model:
    """A model: its folder (staging, marts), what it is, which columns tell its rows apart, its columns' meaning."""

    name: str
    folder: str
    description: str
    grain: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]


def models(project: Path = SHIPPED) -> list[Model]:
    """All models that are described, in the order of their files. Needs the extra `transform`."""
    import yaml

    found: list[Model] = []
    for path in sorted((project / "models").rglob("*.yml")):
        content = yaml.safe_load(path.read_text())
        found += [_model(path.parent.name, entry) for entry in content.get("models", [])]
    return found


def files(project: Path = SHIPPED) -> list[str]:
    """Names of the models there are."""
    return sorted(path.stem for path in (project / "models").rglob("*.sql"))


def _model(folder: str, entry: dict[str, Any]) -> Model:
    tests = [t["grain"] for t in entry.get("data_tests", []) if isinstance(t, dict) and "grain" in t]
    grain = tuple(tests[0]["arguments"]["columns"]) if tests else ()
    columns = tuple((c["name"], " ".join(c.get("description", "").split())) for c in entry.get("columns", []))
    return Model(entry["name"], folder, " ".join(entry.get("description", "").split()), grain, columns)


def markdown(model: Model) -> str:
    """The section of `docs/marts.md` for one model."""
    lines = [f"## {model.name}", "", model.description, ""]
    lines += [f"One row for each {', '.join(f'`{column}`' for column in model.grain)}.", ""]
    lines += ["| column | meaning |", "|---|---|", *(f"| `{name}` | {doc} |" for name, doc in model.columns), ""]
    return "\n".join(lines)
