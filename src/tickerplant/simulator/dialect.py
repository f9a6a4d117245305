"""What the simulator needs of a vendor's folder: its server side and its rendering, found by the vendor's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol

import numpy.typing as npt

from tickerplant.model import Batch, Decoded, Entry
from tickerplant.vendors import vendor


class Reply(Protocol):
    """Frames to send in order, and whether to close then."""

    @property
    def frames(self) -> tuple[bytes, ...]:
        """Sent in order."""
        ...

    @property
    def close(self) -> bool:
        """Whether the connection ends then."""
        ...


class Connection(Protocol):
    """The server side of one connection, without I/O."""

    is_binary: bool
    is_authenticated: bool
    version: int

    @property
    def is_subscribed(self) -> bool:
        """Whether anything is subscribed."""
        ...

    def opened(self) -> Reply:
        """The greeting."""
        ...

    def receive(self, message: bytes) -> Reply:
        """Take one whole client message."""
        ...

    def timed_out(self) -> Reply:
        """The client did not authenticate in time."""
        ...

    def error(self, code: int, close: bool = False) -> Reply:
        """An error of the vendor's table."""
        ...

    def symbols(self, channel: str) -> frozenset[str] | None:
        """Symbols subscribed on a vendor channel; None is all."""
        ...


class Channel(Protocol):
    """A message type: the vendor's channel, ours, and the table of its rows."""

    @property
    def vendor_name(self) -> str:
        """The vendor's name in subscriptions."""
        ...

    @property
    def name(self) -> str:
        """Ours."""
        ...

    @property
    def table(self) -> str:
        """The table of its rows."""
        ...

    @property
    def type(self) -> str:
        """The tag of its messages."""
        ...


class Rendered(Protocol):
    """Messages and their channel codes."""

    @property
    def messages(self) -> list[bytes]:
        """One a row."""
        ...

    @property
    def channels(self) -> npt.NDArray[Any]:
        """A channel code for each message."""
        ...


@dataclass(frozen=True)
class Dialect:
    """A vendor's `server.py` and `render.py`, imported when first used."""

    vendor: str = "alpaca"

    @cached_property
    def _server(self) -> Any:
        return import_module(f"tickerplant.vendors.{self.vendor}.server")

    @cached_property
    def _render(self) -> Any:
        return import_module(f"tickerplant.vendors.{self.vendor}.render")

    @property
    def channels(self) -> Sequence[Channel]:
        """Message types; a channel code is an index into this."""
        return self._render.CHANNELS

    @property
    def feeds(self) -> Sequence[str]:
        """Feeds that the server offers below `/v2/`."""
        return self._server.FEEDS

    @property
    def auth_timeout_s(self) -> float:
        """Seconds a client has to authenticate."""
        return self._server.AUTH_TIMEOUT_S

    @property
    def account(self) -> Callable[..., Any]:
        """The type that says whom the server lets in."""
        return self._server.Account

    def connection(self, feed: str, headers: Mapping[str, str], account: Any, admit: Callable[[], int | None]) -> Any:
        """A new server side of a connection."""
        return self._server.Connection(feed, headers, account, admit)

    def render(self, batch: Batch) -> Rendered:
        """Rows as messages."""
        return self._render.render(batch)

    @cached_property
    def frame(self) -> Callable[[Sequence[bytes], bool], bytes]:
        """Messages as one frame's payload."""
        return self._render.frame

    @cached_property
    def packed(self) -> Callable[[bytes], bytes]:
        """A JSON message in the binary encoding."""
        return self._render.packed

    @cached_property
    def split(self) -> Callable[[bytes], list[bytes]]:
        """The JSON messages of a frame."""
        return self._render.split

    def decode(self, entries: Sequence[Entry]) -> Decoded:
        """The vendor's own decoder."""
        return vendor(self.vendor).decode(entries)
