"""The command line: one word, `tickerplant`, one file a command.

A module here exports `command` (a function typer reads) or `app` (a typer.Typer for a group) and is imported when its
command is asked for. Exit codes: 0 done, 1 failed, 2 usage, 75 try again later.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from tickerplant.errors import Busy, Retryable, TickerplantError, UsageError

COMMANDS = (
    "demo",
    "config",
    "init",
    "capture",
    "fetch",
    "repair",
    "universe",
    "calendar",
    "revisions",
    "load",
    "transform",
    "quality",
    "run",
    "status",
    "health",
    "serve",
    "query",
    "export",
    "serve",
    "simulate",
    "log",
    "maintain",
    "backup",
    "restore",
    "bench",
)

_WITHOUT_ROWS = frozenset(("demo", "capture", "calendar", "run", "log"))
"""Commands that start without pyarrow."""


def load_command(name: str) -> Any:
    """The typer command of one name, its module imported now."""
    module = import_module(f"tickerplant.cli.{name}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        group.command(name)(module.command)
    command = typer.main.get_command(group)
    command.name = name
    return command


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load_command(cmd_name) if cmd_name in COMMANDS else None


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)


@app.callback()
def _root(context: typer.Context) -> None:
    """US-equities market data from the vendor to the query: nothing lost, nothing doubled, every hole named."""
    if context.invoked_subcommand not in _WITHOUT_ROWS and "--help" not in sys.argv:
        from tickerplant.cli.arrow import defer_pandas

        defer_pandas()


def exit_code(error: TickerplantError) -> int:
    """The exit code an error ends a command with."""
    if isinstance(error, UsageError):
        return 2
    return 75 if isinstance(error, Busy | Retryable) else 1


_OBJECTS_A_COLLECTION = 50_000
"""What a start makes stays: looking through it at the usual 700 new objects takes a tenth of the start."""


def main() -> None:
    """Run the command line and exit."""
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    from tickerplant.jobs.children import end_with_parent

    end_with_parent()
    answer()


def answer(words: Sequence[str] | None = None) -> None:
    """Run one command, by default that of the process's words. Raises SystemExit with its exit code."""
    from tickerplant.cli import console

    try:
        console.configure_logging()
        app(words)
    except TickerplantError as error:
        console.err.print(f"[bold red]error[/]: {console.plain(str(error))}", soft_wrap=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
