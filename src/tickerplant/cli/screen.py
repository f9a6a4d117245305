"""The screen of a running plant: what runs, how far behind, which gaps, what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tickerplant.calendar import NEW_YORK
from tickerplant.cli import console

if TYPE_CHECKING:
    from tickerplant.jobs.run import DaemonView, ErrandView, View

_COLOURS = {"running": "green", "waiting": "yellow", "ending": "yellow", "off": "dim"}
_OUTCOMES = {None: "[dim]not yet[/]", 0: "[green]well[/]", 1: "[red]something fails: tickerplant health[/]"}


class Screen:
    """Redrawn with each view, on a terminal only."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._live = Live(console=console.err, auto_refresh=False, transient=True) if console.err.is_terminal else None

    @property
    def is_on(self) -> bool:
        """Whether anybody watches."""
        return self._live is not None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, view: View) -> None:
        """Draw where the plant is."""
        if self._live:
            self._live.update(picture(self._title, view), refresh=True)


def picture(title: str, view: View) -> Group:
    """A view as something to print."""
    return Group(
        Text.assemble((title, "bold"), "  ", _market(view)),
        "",
        _state(view),
        _daemons(view),
        _errands(view),
        _done(view),
    )


def _market(view: View) -> Text:
    begin, end = view.window
    if begin <= view.now < end:
        return Text(f"{_here(view.now)}  market open until {end.astimezone(NEW_YORK):%H:%M}", "green")
    return Text(f"{_here(view.now)}  market closed", "dim")


def _state(view: View) -> Table:
    sheet = Table.grid(padding=(0, 2))
    at, what = view.next_event
    behind = "store away" if view.behind is None else f"{console.size(view.behind)} behind" if view.behind else "none"
    gaps = "?" if view.gaps is None else f"{view.gaps:,} to heal" if view.gaps else "none"
    rows = (
        ("next", f"{what} {_here(at)}, in {_span((at - view.now).total_seconds())}"),
        ("lag", behind),
        ("gaps", gaps),
        ("health", _OUTCOMES.get(view.health, _OUTCOMES[1])),
    )
    for name, text in rows:
        sheet.add_row(f"[dim]{name}[/]", text)
    return sheet


def _daemons(view: View) -> Table:
    sheet = console.sheet("", "process", "state", "for", "pid", "restarts")
    for d in view.daemons:
        sheet.add_row(*_daemon(d))
    return sheet


def _daemon(d: DaemonView) -> tuple[str, ...]:
    return (
        d.name,
        f"[{_COLOURS[d.state]}]{d.state}[/]",
        _span(d.seconds),
        str(d.pid or ""),
        str(d.restarts or ""),
    )


def _errands(view: View) -> Table:
    sheet = console.sheet("", "to do", "for the", "state")
    for e in view.errands[:8]:
        sheet.add_row(e.what, e.key, _errand(e))
    if len(view.errands) > 8:
        sheet.add_row(f"and {len(view.errands) - 8} more", "", "")
    if not view.errands:
        sheet.add_row("[dim]nothing[/]", "", "")
    return sheet


def _errand(e: ErrandView) -> str:
    if e.seconds is not None:
        return f"[green]running[/] for {_span(e.seconds)}"
    if e.exit_code is None:
        return "[dim]waits its turn[/]"
    return f"[yellow]exit code {e.exit_code}[/], again in {_span(e.wait_s)}"


def _done(view: View) -> Table:
    sheet = console.sheet("", "done", "for the", "at")
    for what, key, at in reversed(view.done):
        sheet.add_row(what, key, _here(at))
    return sheet


def _here(at: datetime) -> str:
    return f"{at.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M} New York"


def _span(seconds: float) -> str:
    whole = timedelta(seconds=int(seconds))
    if whole.days:
        return f"{whole.days} d {whole.seconds // 3600} h"
    if whole.seconds >= 3600:
        return f"{whole.seconds // 3600} h {whole.seconds % 3600 // 60:02d} min"
    return f"{whole.seconds // 60} min {whole.seconds % 60:02d} s" if whole.seconds >= 60 else f"{whole.seconds} s"
