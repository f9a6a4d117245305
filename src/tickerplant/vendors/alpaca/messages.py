"""The messages of the stream as msgspec types, one for each `T`.

`Time` is `str` in JSON frames and `msgspec.Raw` in msgpack frames, where the timestamp extension must be read with its
nanoseconds. Only `T`, `S` and `t` are required: real messages lack the rest at times. Unknown keys are ignored.
Source: https://docs.alpaca.markets/docs/real-time-stock-pricing-data, captured 2026-01-26.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeAlias, TypeVar

from msgspec import Meta, Raw, Struct, field

Time = TypeVar("Time", str, Raw)
Codes: TypeAlias = list[str] | None
TradeId: TypeAlias = int | str | None
Count: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None


class _Message(Struct, Generic[Time], tag_field="T", gc=False):
    symbol: str = field(name="S")
    time: Time = field(name="t")


class Quote(_Message[Time], Generic[Time], tag="q", tag_field="T", gc=False):
    """`T=q`: best bid and offer."""

    bid_exchange: str | None = field(name="bx", default=None)
    bid_price: float | None = field(name="bp", default=None)
    bid_size: float | None = field(name="bs", default=None)
    ask_exchange: str | None = field(name="ax", default=None)
    ask_price: float | None = field(name="ap", default=None)
    ask_size: float | None = field(name="as", default=None)
    conditions: Codes = field(name="c", default=None)
    tape: str | None = field(name="z", default=None)


class Trade(_Message[Time], Generic[Time], tag="t", tag_field="T", gc=False):
    """`T=t`: a print."""

    trade_id: TradeId = field(name="i", default=None)
    exchange: str | None = field(name="x", default=None)
    price: float | None = field(name="p", default=None)
    size: float | None = field(name="s", default=None)
    conditions: Codes = field(name="c", default=None)
    tape: str | None = field(name="z", default=None)


class Bar(_Message[Time], Generic[Time], tag="b", tag_field="T", gc=False):
    """`T=b`: the bar of a minute, stamped with the minute's start."""

    open: float | None = field(name="o", default=None)
    high: float | None = field(name="h", default=None)
    low: float | None = field(name="l", default=None)
    close: float | None = field(name="c", default=None)
    volume: float | None = field(name="v", default=None)
    trade_count: Count = field(name="n", default=None)
    vwap: float | None = field(name="vw", default=None)


class UpdatedBar(Bar[Time], Generic[Time], tag="u", tag_field="T", gc=False):
    """`T=u`: a minute's bar again, after a late trade."""


class DailyBar(Bar[Time], Generic[Time], tag="d", tag_field="T", gc=False):
    """`T=d`: the running bar of the session."""


class Status(_Message[Time], Generic[Time], tag="s", tag_field="T", gc=False):
    """`T=s`: a trading status. The codes are open: real ones go beyond the documented lists."""

    status_code: str | None = field(name="sc", default=None)
    status_message: str | None = field(name="sm", default=None)
    reason_code: str | None = field(name="rc", default=None)
    reason_message: str | None = field(name="rm", default=None)
    tape: str | None = field(name="z", default=None)


class Luld(_Message[Time], Generic[Time], tag="l", tag_field="T", gc=False):
    """`T=l`: limit-up limit-down bands."""

    limit_up: float | None = field(name="u", default=None)
    limit_down: float | None = field(name="d", default=None)
    indicator: str | None = field(name="i", default=None)
    tape: str | None = field(name="z", default=None)


class Correction(_Message[Time], Generic[Time], tag="c", tag_field="T", gc=False):
    """`T=c`: a trade as printed and as it should have been."""

    exchange: str | None = field(name="x", default=None)
    original_id: TradeId = field(name="oi", default=None)
    original_price: float | None = field(name="op", default=None)
    original_size: float | None = field(name="os", default=None)
    original_conditions: Codes = field(name="oc", default=None)
    corrected_id: TradeId = field(name="ci", default=None)
    corrected_price: float | None = field(name="cp", default=None)
    corrected_size: float | None = field(name="cs", default=None)
    corrected_conditions: Codes = field(name="cc", default=None)
    tape: str | None = field(name="z", default=None)


class Cancel(_Message[Time], Generic[Time], tag="x", tag_field="T", gc=False):
    """`T=x`: a trade cancelled (`a` = C) or printed in error (`a` = E)."""

    original_id: TradeId = field(name="i", default=None)
    exchange: str | None = field(name="x", default=None)
    original_price: float | None = field(name="p", default=None)
    original_size: float | None = field(name="s", default=None)
    action: str | None = field(name="a", default=None)
    tape: str | None = field(name="z", default=None)


class Imbalance(_Message[Time], Generic[Time], tag="i", tag_field="T", gc=False):
    """`T=i`: an order imbalance."""

    price: float | None = field(name="p", default=None)
    tape: str | None = field(name="z", default=None)


class Success(Struct, tag="success", tag_field="T", gc=False):
    """`T=success`: connected or authenticated."""


class Failure(Struct, tag="error", tag_field="T", gc=False):
    """`T=error`."""


class Subscription(Struct, tag="subscription", tag_field="T", gc=False):
    """`T=subscription`: everything now subscribed."""


Message: TypeAlias = (
    Quote[Time]
    | Trade[Time]
    | Bar[Time]
    | UpdatedBar[Time]
    | DailyBar[Time]
    | Status[Time]
    | Luld[Time]
    | Correction[Time]
    | Cancel[Time]
    | Imbalance[Time]
    | Success
    | Failure
    | Subscription
)
JsonMessage: TypeAlias = Message[str]
MsgpackMessage: TypeAlias = Message[Raw]
