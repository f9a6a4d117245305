"""The live dialogue of one websocket connection, without I/O: bytes in, bytes and verdicts out.

connected -> auth -> authenticated -> subscribe, request by request, each acknowledgement held against what was asked.
Source: https://docs.alpaca.markets/docs/streaming-market-data, captured 2026-01-26.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw

from tickerplant.errors import Retryable, TickerplantError, UsageError, excerpt
from tickerplant.model import Credentials, Limits, Selection, Step
from tickerplant.vendors.alpaca import refusals
from tickerplant.vendors.alpaca.channels import CHANNELS
from tickerplant.vendors.alpaca.subscriptions import REFUSALS, Request, Subscriptions, requests

__all__ = ["AlpacaDialogue", "dialogue"]

Encoding = Literal["json", "msgpack"]
Auth = Literal["message", "headers"]

_CONTROL = ("success", "error", "subscription")
_JSON_DATA = b'[{"T":"'
_JSON_HEAD = re.compile(rb'\s*\[\s*\{\s*"T"\s*:\s*"(success"|error"|subscription")?')
_MSGPACK_HEAD = re.compile(
    rb"(?:[\x90-\x9f]|\xdc..|\xdd....)(?:[\x80-\x8f]|\xde..|\xdf....)\xa1T(\xa7success|\xa5error|\xacsubscription)?",
    re.DOTALL,
)
_UNREADABLE = (ValueError, RecursionError)


class _Type(msgspec.Struct, rename={"type": "T"}):
    type: str


class _Control(msgspec.Struct, rename={"type": "T"}):
    """A control message; the lists are those of an acknowledgement, under the vendor's names."""

    type: str
    msg: str | None = None
    code: int | None = None
    quotes: list[str] | None = None
    trades: list[str] | None = None
    bars: list[str] | None = None
    updatedBars: list[str] | None = None
    dailyBars: list[str] | None = None
    statuses: list[str] | None = None
    lulds: list[str] | None = None
    imbalances: list[str] | None = None


class _SecretBytes(bytes):
    """Bytes that hold a secret: they go out as they are, and hide in every repr."""

    def __repr__(self) -> str:
        return "b'***'"


class _SecretText(str):
    """Text that is a secret, for headers; hides in every repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def dialogue(
    selection: Selection,
    credentials: Credentials,
    encoding: Encoding = "json",
    auth: Auth = "message",
    chunk: int = Limits().subscribe_chunk,
) -> AlpacaDialogue:
    """The dialogue that subscribes to `selection.tables` (our channel names) x `selection.symbols`.

    `chunk` is the most symbols in one request. Raises UsageError on a channel that Alpaca does not have, and on an
    empty selection.
    """
    unknown = [name for name in selection.tables if name not in CHANNELS]
    if unknown or not selection.tables:
        found = ", ".join(map(repr, unknown)) or "none"
        raise UsageError(f"alpaca: expected channels among {', '.join(CHANNELS)}, was {found}")
    if not selection.symbols or not all(selection.symbols):
        raise UsageError("alpaca: expected symbols, was an empty one or none; do name some, or '*' for all")
    wanted = requests(tuple(dict.fromkeys(selection.tables)), selection.symbols, chunk)
    return AlpacaDialogue(wanted, credentials, encoding, auth)


class AlpacaDialogue:
    """The model's Dialogue for Alpaca. One object serves one connection; made by `dialogue`."""

    headers: Mapping[str, str]
    channels: tuple[str, ...]
    markers: Mapping[str, bytes]

    def __init__(self, wanted: list[Request], credentials: Credentials, encoding: Encoding, auth: Auth) -> None:
        self.channels = wanted[0].channels
        self.headers = _headers(credentials, encoding, auth)
        self.markers = _markers(self.channels, encoding)
        self._credentials = credentials
        self._encode = msgspec.msgpack.encode if encoding == "msgpack" else msgspec.json.encode
        self._owes_auth = auth == "message"
        self._authenticated = False
        self._live = False
        self._subscriptions = Subscriptions(wanted)

    def __repr__(self) -> str:
        state = "live" if self._live else "subscribing" if self._authenticated else "opening"
        return f"AlpacaDialogue({', '.join(self.channels)}: {state})"

    @property
    def acknowledged(self) -> Mapping[str, frozenset[str]]:
        """Our channel -> symbols asked for and subscribed, by the vendor's last acknowledgement."""
        return self._subscriptions.acknowledged

    def is_control(self, payload: bytes) -> bool:
        """Whether a frame holds control messages, by its first `T` (first key by vendor fact); else it is parsed."""
        if payload.startswith(_JSON_DATA) and payload[8:9] == b'"':
            return False
        head = _JSON_HEAD.match(payload) or _MSGPACK_HEAD.match(payload)
        if head:
            return head[1] is not None
        try:
            return any(message.type in _CONTROL for message in _read(payload, list[_Type]))
        except _UNREADABLE:
            return False

    def receive(self, payload: bytes) -> Step:
        """Take a frame. Data messages in it are passed over; bytes that are no frame are a Retryable problem."""
        try:
            messages = [_control(part) for part in _read(payload, list[Raw])]
        except _UNREADABLE:
            found = self._safe(excerpt(payload))
            return Step((), self._live, Retryable(f"alpaca: expected a frame of messages, was {found!r}"))
        sent: list[bytes] = []
        problems: list[TickerplantError] = []
        for message in messages:
            if message is not None:
                self._take(message, sent, problems)
        return Step(tuple(sent), self._live, min(problems, key=refusals.severity, default=None))

    def _take(self, message: _Control, sent: list[bytes], problems: list[TickerplantError]) -> None:
        if message.type == "success" and message.msg == "connected" and self._owes_auth:
            self._owes_auth = False
            sent.append(self._auth())
        elif message.type == "success" and message.msg == "authenticated":
            self._begin(sent)
        elif message.type == "subscription":
            self._add(problems, self._subscriptions.acknowledge(_lists(message)))
            self._go_on(sent, problems)
        elif message.type == "error" and message.code == refusals.ALREADY_AUTHENTICATED:
            self._begin(sent)
        elif message.type == "error":
            self._fail(message, sent, problems)

    def _begin(self, sent: list[bytes]) -> None:
        """Authenticated: ask for the first subscription, once."""
        if not self._authenticated:
            self._authenticated = True
            self._owes_auth = False
            self._go_on(sent, [])

    def _go_on(self, sent: list[bytes], problems: list[TickerplantError]) -> None:
        """Send the next request, or, when all are answered, go live with what is subscribed."""
        request = self._subscriptions.next()
        if request:
            sent.append(self._subscribe(request))
        elif not self._subscriptions.waiting and not self._live:
            outcome = self._subscriptions.outcome()
            self._add(problems, outcome)
            self._live = outcome is None

    def _fail(self, message: _Control, sent: list[bytes], problems: list[TickerplantError]) -> None:
        problem = refusals.refusal(message.code, self._safe((message.msg or "")[:60]))
        if message.code in REFUSALS and self._subscriptions.waiting:
            self._add(problems, self._subscriptions.refuse(message.code, str(problem)))
            self._go_on(sent, problems)
        else:
            problems.append(problem)

    def _auth(self) -> bytes:
        secret = self._credentials.secret.reveal()
        return _SecretBytes(self._encode({"action": "auth", "key": self._credentials.key, "secret": secret}))

    def _subscribe(self, request: Request) -> bytes:
        lists = {CHANNELS[channel].vendor_name: request.symbols for channel in request.channels}
        return self._encode({"action": "subscribe", **lists})

    def _safe(self, text: str) -> str:
        return refusals.without(self._credentials, text)

    @staticmethod
    def _add(problems: list[TickerplantError], problem: TickerplantError | None) -> None:
        if problem:
            problems.append(problem)


def _read(payload: bytes | Raw, kind: Any) -> Any:
    """Decode by the first byte: no JSON text begins with one of 0x80 or above, every msgpack array and map does."""
    if bytes(payload)[:1] >= b"\x80":
        return msgspec.msgpack.decode(payload, type=kind, strict=False)
    return msgspec.json.decode(payload, type=kind, strict=False)


def _control(part: Raw) -> _Control | None:
    """The control message, None for any other."""
    return _read(part, _Control) if _read(part, _Type).type in _CONTROL else None


def _lists(message: _Control) -> dict[str, list[str]]:
    return {name: getattr(message, channel.vendor_name) or [] for name, channel in CHANNELS.items()}


def _headers(credentials: Credentials, encoding: Encoding, auth: Auth) -> dict[str, str]:
    headers = {"Content-Type": f"application/{encoding}"}
    if auth == "headers":
        headers["APCA-API-KEY-ID"] = _SecretText(credentials.key)
        headers["APCA-API-SECRET-KEY"] = _SecretText(credentials.secret.reveal())
    return headers


def _markers(channels: tuple[str, ...], encoding: Encoding) -> dict[str, bytes]:
    """`T` and its value as they stand in every message of a channel, without blanks as the vendor sends them.

    In msgpack a value "T" (the symbol, a condition) before a key of that letter looks the same: there it is a close
    count, never below the right one.
    """
    shape = '"T":"{}"' if encoding == "json" else "\u00a1T\u00a1{}"
    return {name: shape.format(CHANNELS[name].message_type).encode("latin-1") for name in channels}
