"""Our dialogue against our server side, byte for byte, without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from tickerplant.errors import Fatal, RequestFailed, SlowRetry, TickerplantError
from tickerplant.model import Credentials, Secret, Selection
from tickerplant.vendors.alpaca.server import Account, Connection
from tickerplant.vendors.alpaca.wire import AlpacaDialogue, dialogue

KEYS = Credentials("the-key", Secret("the-secret"))


def converse(talk: AlpacaDialogue, **options: Any) -> tuple[Connection, list[TickerplantError]]:
    """Let both talk until nobody has anything to say."""
    peer = Connection(headers=talk.headers, **options)
    frames, problems = list(peer.opened().frames), []
    while frames:
        frame = frames.pop(0)
        assert talk.is_control(frame)
        step = talk.receive(frame)
        problems += [step.problem] if step.problem else []
        for message in step.send:
            frames += peer.receive(message).frames
    return peer, problems


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("auth", ["message", "headers"])
def test_every_login_in_every_encoding_goes_live(encoding: Any, auth: Any) -> None:
    symbols = tuple(f"S{i}" for i in range(1_234))
    talk = dialogue(Selection(("quotes", "trades", "lulds"), symbols), KEYS, encoding, auth)
    peer, problems = converse(talk, account=Account("the-key", Secret("the-secret")))
    assert problems == []
    assert repr(talk).endswith(": live)")
    assert peer.symbols("lulds") == peer.symbols("quotes") == frozenset(symbols) == talk.acknowledged["trades"]
    assert peer.version == 3


def test_bad_symbols_cost_only_themselves() -> None:
    symbols = [f"S{i}" for i in range(700)]
    symbols[123] = symbols[650] = "not a symbol"
    symbols[650] += "!"
    talk = dialogue(Selection(("quotes", "bars"), tuple(symbols)), KEYS)
    peer, problems = converse(talk)
    assert [type(problem) for problem in problems] == [RequestFailed] * 2
    assert peer.symbols("bars") == talk.acknowledged["quotes"] == frozenset(s for s in symbols if s[0] == "S")


def test_a_channel_that_the_test_feed_lacks_costs_only_itself() -> None:
    talk = dialogue(Selection(("quotes", "lulds", "bars", "statuses"), ("FAKEPACA",)), KEYS)
    peer, problems = converse(talk, feed="test")
    assert [str(p).rpartition("not subscribed: ")[2] for p in problems] == [
        "lulds of FAKEPACA",
        "statuses of FAKEPACA",
    ]
    assert talk.acknowledged == {"quotes": {"FAKEPACA"}, "bars": {"FAKEPACA"}}
    assert peer.symbols("bars") == frozenset({"FAKEPACA"})


def test_the_plans_limit_keeps_the_first_chunks() -> None:
    symbols = tuple(f"S{i}" for i in range(40))
    talk = dialogue(Selection(("quotes",), symbols), KEYS, chunk=15)
    peer, (problem,) = converse(talk, account=Account(symbols=30))
    assert isinstance(problem, RequestFailed)
    assert peer.symbols("quotes") == talk.acknowledged["quotes"] == frozenset(symbols[:30])
    assert repr(talk).endswith(": live)")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"account": Account("another-key")}, Fatal),
        ({"account": Account(feeds=("iex",))}, Fatal),
        ({"admit": lambda: 406}, SlowRetry),
    ],
)
def test_refused_logins_are_classed(options: dict[str, Any], kind: type[TickerplantError]) -> None:
    _, (problem,) = converse(dialogue(Selection(("quotes",)), KEYS), **options)
    assert type(problem) is kind
