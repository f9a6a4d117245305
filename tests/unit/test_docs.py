"""Docs say only what is true: generated pages are current, and every command, setting and table is described."""

from __future__ import annotations

import re
from importlib import import_module, metadata
from pathlib import Path

import pytest

from tickerplant.cli import COMMANDS, load_command
from tickerplant.settings import SETTINGS, Settings
from tickerplant.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]


def test_generated_pages_are_up_to_date() -> None:
    assert import_module("docs.generate").stale() == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_says_what_it_does(name: str) -> None:
    command = load_command(name)
    leaves = getattr(command, "commands", None) or {name: command}
    for leaf in leaves.values():
        assert (leaf.help or "").strip()
        for parameter in leaf.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [c for c in COMMANDS if f"tickerplant {c}" not in readme and f"`{c}`" not in readme] == []


def test_every_setting_is_read_from_a_variable_and_is_a_field() -> None:
    assert [s.name for s in SETTINGS] == list(Settings.__dataclass_fields__)
    assert all(s.env and s.doc for s in SETTINGS)


def test_every_table_and_column_has_a_meaning() -> None:
    for table in TABLES.values():
        assert table.doc
        assert all(c.doc for c in table.columns), table.name


def test_links_between_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_changelog_has_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {metadata.version('tickerplant')}" in changelog


def test_the_core_install_has_at_most_fifteen_direct_dependencies() -> None:
    required = [r for r in metadata.requires("tickerplant") or [] if "extra ==" not in r]
    assert 0 < len(required) <= 15
