"""What serving a vendor's protocol needs of its folder: server side and rendering, found by the vendor's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol

import numpy.typing as npt

from tickerplant.model import Batch, Decoded, Entry
from tickerplant.vendors import vendor


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


class Part(Protocol):
    """One message of a frame, in the frame's encoding."""

    @property
    def channel(self) -> str | None:
        """The vendor's channel that carries it; None for a message that nobody subscribes to."""
        ...

    @property
    def symbol(self) -> str:
        """Its symbol."""
        ...

    @property
    def raw(self) -> bytes:
        """Its bytes."""
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

    @cached_property
    def parts(self) -> Callable[[bytes], Sequence[Part]]:
        """The messages of a frame as they stand in it, each with its channel and symbol; raises ValueError."""
        return import_module(f"tickerplant.vendors.{self.vendor}.server_frames").parts

    @cached_property
    def unpacked(self) -> Callable[[bytes], bytes]:
        """A message in the binary encoding as JSON."""
        return self._render.unpacked

    def decode(self, entries: Sequence[Entry]) -> Decoded:
        """The vendor's own decoder."""
        return vendor(self.vendor).decode(entries)
