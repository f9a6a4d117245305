from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tickerplant.errors import Fatal, RequestFailed, Retryable, SlowRetry, TickerplantError, UsageError
from tickerplant.model import Credentials, Secret, Selection, Step
from tickerplant.vendors.alpaca import VENDOR
from tickerplant.vendors.alpaca.channels import CHANNELS, feed_of
from tickerplant.vendors.alpaca.wire import AlpacaDialogue, dialogue

KEYS = Credentials("the-key", Secret("the-secret"))
CONNECTED = b'[{"T":"success","msg":"connected"}]'
AUTHENTICATED = b'[{"T":"success","msg":"authenticated"}]'
RIDERS = {"corrections": ["A"], "cancelErrors": ["A"]}
CODES: dict[int, tuple[str, type[TickerplantError] | None]] = {
    400: ("invalid syntax", RequestFailed),
    401: ("not authenticated", Retryable),
    402: ("auth failed", Fatal),
    403: ("already authenticated", None),
    404: ("auth timeout", Retryable),
    405: ("symbol limit exceeded", RequestFailed),
    406: ("connection limit exceeded", SlowRetry),
    407: ("slow client", Retryable),
    408: ("v2 not enabled", Fatal),
    409: ("insufficient subscription", Fatal),
    410: ("invalid subscribe action for this feed", RequestFailed),
    411: ("insufficient scope", Fatal),
    500: ("internal error", Retryable),
    599: ("never heard of", Retryable),
}


def made(channels: str = "quotes", symbols: str = "A", **options: Any) -> AlpacaDialogue:
    return dialogue(Selection(tuple(channels.split()), tuple(symbols.split())), KEYS, **options)


def ready(channels: str = "quotes", symbols: str = "A", **options: Any) -> tuple[AlpacaDialogue, dict[str, Any]]:
    """A dialogue after the login, and its first subscribe request."""
    talk = made(channels, symbols, **options)
    talk.receive(CONNECTED)
    (request,) = sent(talk.receive(AUTHENTICATED))
    return talk, request


def sent(step: Step) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in step.send]


def error(code: int, said: str = "") -> bytes:
    return json.dumps([{"T": "error", "code": code, "msg": said or CODES[code][0]}]).encode()


def ack(**lists: list[str]) -> bytes:
    return json.dumps([{"T": "subscription", **lists}]).encode()


def subscribe(symbols: str, *channels: str) -> dict[str, Any]:
    return {"action": "subscribe", **{channel: symbols.split() for channel in channels}}


def test_login_and_subscription_go_live() -> None:
    talk = made("trades quotes updated_bars", "AAPL BRK.B AAPL")
    assert sent(talk.receive(CONNECTED)) == [{"action": "auth", "key": "the-key", "secret": "the-secret"}]
    assert talk.receive(CONNECTED) == Step()
    step = talk.receive(AUTHENTICATED)
    assert sent(step) == [subscribe("AAPL BRK.B", "trades", "quotes", "updatedBars")]
    assert not step.live
    both = ["AAPL", "BRK.B"]
    done = talk.receive(ack(trades=both, quotes=both, updatedBars=both, bars=[], **RIDERS))
    assert done == Step((), True, None)
    assert talk.acknowledged == dict.fromkeys(("trades", "quotes", "updated_bars"), frozenset(both))


def test_every_channel_is_asked_for_by_the_vendors_name() -> None:
    _, request = ready(" ".join(CHANNELS), "*")
    names = ["quotes", "trades", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances"]
    assert request == subscribe("*", *names)
    assert VENDOR.channels == tuple(CHANNELS)


def test_symbols_go_out_in_chunks_each_after_the_acknowledgement_before() -> None:
    talk, first = ready("quotes trades", "A B C D E", chunk=2)
    assert first == subscribe("A B", "quotes", "trades")
    step = talk.receive(ack(quotes=["A", "B"], trades=["A", "B"]))
    assert (sent(step), step.live) == ([subscribe("C D", "quotes", "trades")], False)
    data = b'[{"T":"q","S":"A","t":"2026-03-09T13:30:00Z"},{"T":"zz"}]'
    assert talk.receive(data) == Step()
    step = talk.receive(ack(quotes=list("ABCD"), trades=list("ABCD")))
    assert (sent(step), step.live) == ([subscribe("E", "quotes", "trades")], False)
    assert talk.receive(ack(quotes=list("ABCDE"), trades=list("ABCDE"))) == Step((), True)


def test_a_control_message_within_a_frame_of_data_counts() -> None:
    talk, _ = ready()
    mixed = b'[{"T":"q","S":"A","t":"x"},{"T":"subscription","quotes":["A"]}]'
    assert talk.receive(mixed).live


def test_all_symbols_are_one_request() -> None:
    talk, request = ready("bars", "A * B", chunk=1)
    assert request == subscribe("*", "bars")
    assert talk.receive(ack(bars=["*"])).live


def test_everything_acknowledged_as_star_covers_what_was_asked() -> None:
    talk, _ = ready("bars", "A B")
    assert talk.receive(ack(bars=["*"])) == Step((), True)
    assert talk.acknowledged == {"bars": {"A", "B"}}


def test_what_an_acknowledgement_lacks_is_named_once_and_the_rest_goes_live() -> None:
    talk, _ = ready("quotes imbalances", "A B C D E F G H", chunk=7)
    step = talk.receive(ack(quotes=list("ABCDEF")))
    assert isinstance(step.problem, RequestFailed)
    assert "quotes of G; imbalances of A B C D E and 2 more" in str(step.problem)
    assert (sent(step), step.live) == ([subscribe("H", "quotes", "imbalances")], False)
    step = talk.receive(ack(quotes=list("ABCDEFH"), imbalances=["H"]))
    assert step == Step((), True)
    assert talk.acknowledged == {"quotes": set("ABCDEFH"), "imbalances": {"H"}}


def test_symbols_that_fall_out_of_a_later_acknowledgement_are_named() -> None:
    talk, _ = ready("quotes", "A B")
    assert talk.receive(ack(quotes=["A", "B"])).live
    step = talk.receive(ack(quotes=["A"]))
    assert step.live
    assert "quotes of B" in str(step.problem)
    assert talk.receive(ack(quotes=["A"])).problem is None


def test_an_empty_acknowledgement_is_no_success() -> None:
    talk, _ = ready()
    step = talk.receive(ack(quotes=[]))
    assert not step.live
    assert isinstance(step.problem, Retryable)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("stage", ["opening", "live"])
def test_every_code_is_classed(code: int, stage: str) -> None:
    talk = made()
    if stage == "live":
        talk, _ = ready()
        talk.receive(ack(quotes=["A"]))
    said, kind = CODES[code]
    step = talk.receive(error(code))
    assert step.live is (stage == "live")
    assert type(step.problem) is (kind or type(None))
    if step.problem:
        assert f"{code} {said!r}; do " in str(step.problem)


@pytest.mark.parametrize("code", [402, 406, 407, 408, 409, 411, 500, 401, 404])
def test_refusals_while_subscribing_end_the_dialogue(code: int) -> None:
    talk, _ = ready()
    step = talk.receive(error(code))
    assert (type(step.problem), step.live, step.send) == (CODES[code][1], False, ())


@pytest.mark.parametrize("payload", [b'[{"T":"error"}]', b'[{"T":"error","code":"402"}]', b'[{"T":"error","code":[]}]'])
def test_malformed_errors_are_still_problems(payload: bytes) -> None:
    problem = made().receive(payload).problem
    assert isinstance(problem, Fatal if b"402" in payload else Retryable)


def test_already_authenticated_means_authenticated() -> None:
    talk = made()
    talk.receive(CONNECTED)
    assert sent(talk.receive(error(403))) == [subscribe("A", "quotes")]
    assert talk.receive(AUTHENTICATED) == Step()


def test_symbol_limit_keeps_what_is_acknowledged_and_goes_live() -> None:
    talk, _ = ready("quotes", "A B C D E F", chunk=2)
    talk.receive(ack(quotes=["A", "B"]))
    step = talk.receive(error(405))
    assert (step.send, step.live) == ((), True)
    assert isinstance(step.problem, RequestFailed)
    assert "not subscribed: quotes of C D E F" in str(step.problem)
    assert talk.acknowledged == {"quotes": {"A", "B"}}


def test_symbol_limit_at_once_is_fatal_and_says_what_to_do() -> None:
    talk, _ = ready("quotes", "A B C", chunk=2)
    step = talk.receive(error(405))
    assert not step.live
    assert isinstance(step.problem, Fatal)
    assert "405 'symbol limit exceeded'; do ask for fewer symbols" in str(step.problem)


def test_one_bad_symbol_is_found_by_halves_and_the_rest_goes_live() -> None:
    talk, request = ready("quotes", "A B C$ D E", chunk=4)
    subscribed: list[str] = []
    problems = []
    live = False
    for _ in range(20):
        bad = "C$" in request["quotes"]
        subscribed += [] if bad else request["quotes"]
        step = talk.receive(error(400) if bad else ack(quotes=subscribed))
        problems += [step.problem] if step.problem else []
        live = step.live
        if live:
            break
        (request,) = sent(step)
    assert live
    assert sorted(subscribed) == ["A", "B", "D", "E"]
    (problem,) = problems
    assert isinstance(problem, RequestFailed)
    assert str(problem).endswith("not subscribed: quotes of C$")


def test_channel_that_the_feed_lacks_is_found_and_not_asked_again() -> None:
    talk, request = ready("quotes imbalances", "A B", chunk=1)
    assert request == subscribe("A", "quotes", "imbalances")
    assert sent(talk.receive(error(410))) == [subscribe("A", "quotes")]
    assert sent(talk.receive(ack(quotes=["A"]))) == [subscribe("A", "imbalances")]
    step = talk.receive(error(410))
    assert isinstance(step.problem, RequestFailed)
    assert str(step.problem).endswith("not subscribed: imbalances of A")
    assert sent(step) == [subscribe("B", "quotes")]
    assert talk.receive(ack(quotes=["A", "B"])) == Step((), True)


@pytest.mark.parametrize("code", [400, 410])
def test_when_nothing_at_all_is_accepted_it_is_fatal(code: int) -> None:
    talk, _ = ready("imbalances", "A")
    step = talk.receive(error(code))
    assert isinstance(step.problem, Fatal)
    assert not step.live


def test_endless_refusals_end() -> None:
    talk, _ = ready("quotes", " ".join(f"S{i}" for i in range(1000)))
    for _ in range(200):
        step = talk.receive(error(400))
        if isinstance(step.problem, Fatal):
            break
    assert isinstance(step.problem, Fatal)
    assert step.send == ()


@pytest.mark.parametrize(
    "payload", [b"", b"<html>502</html>", b"[", b"\x91", b"\xff\xfe", b"{}", b"[1]", b"[" * 99_999]
)
def test_garbage_before_live_is_retryable(payload: bytes) -> None:
    problem = made().receive(payload).problem
    assert type(problem) is Retryable
    assert str(problem).startswith("alpaca: expected a frame of messages, was '")
    assert not made().is_control(payload)


def test_login_by_headers_sends_no_auth_message() -> None:
    talk = made(auth="headers")
    assert talk.headers["APCA-API-KEY-ID"] == "the-key"
    assert talk.headers["APCA-API-SECRET-KEY"] == "the-secret"
    assert talk.receive(CONNECTED) == Step()
    assert sent(talk.receive(AUTHENTICATED)) == [subscribe("A", "quotes")]
    alone = made(auth="headers")
    assert sent(alone.receive(AUTHENTICATED)) == [subscribe("A", "quotes")]
    assert set(made().headers) == {"Content-Type"}


def test_msgpack_speaks_msgpack_both_ways() -> None:
    talk = made("quotes", "A", encoding="msgpack")
    assert talk.headers["Content-Type"] == "application/msgpack"
    pack = msgspec.msgpack.encode
    (hello,) = talk.receive(pack([{"T": "success", "msg": "connected"}])).send
    assert msgspec.msgpack.decode(hello) == {"action": "auth", "key": "the-key", "secret": "the-secret"}
    (request,) = talk.receive(pack([{"T": "success", "msg": "authenticated"}])).send
    assert msgspec.msgpack.decode(request) == subscribe("A", "quotes")
    data = {"T": "q", "S": "A", "t": msgspec.msgpack.Ext(-1, bytes(8))}
    assert talk.receive(pack([data, {"T": "subscription", "quotes": ["A"]}])).live
    assert isinstance(talk.receive(pack([{"T": "error", "code": 407, "msg": "slow client"}])).problem, Retryable)


def test_secrets_hide_everywhere_even_when_the_vendor_repeats_them() -> None:
    talk = made(auth="headers")
    step = talk.receive(b'[{"T":"error","code":402,"msg":"auth failed for the-key / the-secret"}]')
    garbage = talk.receive(b"bad the-key:the-secret")
    shown = f"{talk!r} {talk.headers!r} {vars(talk)!r} {step!r} {step.problem} {garbage!r} {garbage.problem}"
    hello = made()
    shown += f"{hello.receive(CONNECTED)!r} {vars(hello)!r}"
    assert "the-secret" not in shown
    assert "the-key" not in str(step.problem)


@pytest.mark.parametrize("name", ["success", "error", "subscription"])
def test_control_frames_are_known_in_every_shape(name: str) -> None:
    talk = made()
    message = {"T": name, "msg": "x"}
    swapped = {"msg": "x", "T": name}
    for shape in (message, swapped):
        assert talk.is_control(msgspec.json.encode([shape]))
        assert talk.is_control(msgspec.json.format(msgspec.json.encode([shape]), indent=1))
        assert talk.is_control(msgspec.msgpack.encode([shape]))
    assert talk.is_control(b"\xdc\x00\x01\xde\x00\x01\xa1T" + msgspec.msgpack.encode(name))


@pytest.mark.parametrize("name", [*"tqbudslcxio", "successful", "errors", "n"])
def test_data_frames_are_no_control(name: str) -> None:
    talk = made()
    for shape in ({"T": name, "S": "error"}, {"S": "success", "T": name}):
        assert not talk.is_control(msgspec.json.encode([shape, shape]))
        assert not talk.is_control(msgspec.json.format(msgspec.json.encode([shape]), indent=1))
        assert not talk.is_control(msgspec.msgpack.encode([shape, shape]))
    assert not talk.is_control(b"[]")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_markers_stand_once_in_each_message_of_their_channel_only(encoding: Any) -> None:
    talk = made(" ".join(CHANNELS), "A", encoding=encoding)
    encode = msgspec.json.encode if encoding == "json" else msgspec.msgpack.encode
    letters = {"quotes": "q", "trades": "t", "bars": "b", "updated_bars": "u"}
    letters |= {"daily_bars": "d", "statuses": "s", "lulds": "l", "imbalances": "i"}
    messages = [{"T": letter, "S": letter, "x": "V", "c": ["@", letter]} for letter in letters.values()] * 3
    frame = encode(messages)
    assert {name: frame.count(marker) for name, marker in talk.markers.items()} == dict.fromkeys(letters, 3)
    assert made("quotes bars").markers == {"quotes": b'"T":"q"', "bars": b'"T":"b"'}


@pytest.mark.parametrize(
    ("url", "feed"),
    [
        ("wss://stream.data.alpaca.markets/v2/sip", "sip"),
        ("wss://stream.data.alpaca.markets/v2/iex/", "iex"),
        ("wss://stream.data.alpaca.markets/v2/delayed_sip", "delayed_sip"),
        ("wss://stream.data.sandbox.alpaca.markets/v2/test", "test"),
        ("wss://stream.data.alpaca.markets/v1beta1/boats", "boats"),
        ("wss://stream.data.alpaca.markets/v1beta3/crypto/us", "crypto-us"),
        ("ws://127.0.0.1:8765/v2/sip?seed=7", "sip"),
    ],
)
def test_feed_of_a_url(url: str, feed: str) -> None:
    assert feed_of(url) == feed


@pytest.mark.parametrize("url", ["", "https://x/v2/sip", "wss://x", "wss://x/v2", "wss:///v2/sip", "wss://x/v2/%2e%2e"])
def test_a_url_without_feed_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected a websocket URL such as"):
        feed_of(url)


def test_a_bad_url_is_shown_without_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        feed_of("wss://me:hidden@host/v2/?key=hidden")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(("tables", "symbols"), [("orders", "A"), ("quotes news", "A"), ("", "A"), ("quotes", "")])
def test_what_cannot_be_asked_for_is_a_usage_error(tables: str, symbols: str) -> None:
    with pytest.raises(UsageError, match="alpaca: expected"):
        dialogue(Selection(tuple(tables.split()), tuple(symbols.split())), KEYS)
