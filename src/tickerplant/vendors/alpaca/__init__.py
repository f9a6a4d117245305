"""Alpaca market data of US equities: the live websocket and the REST APIs (v2), without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Credentials, Decoded, Dialogue, Entry, Kind, Record, Selection, Vendor
from tickerplant.vendors.alpaca.channels import CHANNELS, feed_of
from tickerplant.vendors.alpaca.rest_calls import rest


def _decode(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.alpaca.decode import decode

    answers = [e for e in entries if isinstance(e.item, Record) and e.item.kind is Kind.RESPONSE]
    if not answers:
        return decode(entries)
    return _answers(answers) if len(answers) == len(entries) else _both(entries, answers)


def _answers(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.alpaca.rest_answers import read
    from tickerplant.vendors.answers import decode_answers

    return decode_answers(entries, read)


def _both(entries: Sequence[Entry], answers: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.alpaca.decode import decode

    known = {e.start for e in answers}
    live, fetched = decode([e for e in entries if e.start not in known]), _answers(answers)
    rejects = tuple(sorted(live.rejects + fetched.rejects, key=lambda r: (r.start, r.item)))
    return Decoded(live.batches + fetched.batches, rejects, live.control + fetched.control)


def _dialogue(selection: Selection, credentials: Credentials) -> Dialogue:
    from tickerplant.vendors.alpaca.wire import dialogue

    return dialogue(selection, credentials)


VENDOR = Vendor(
    name="alpaca",
    decode=_decode,
    dialogue=_dialogue,
    default_url="wss://stream.data.alpaca.markets/v2/iex",
    feed_of=feed_of,
    channels=tuple(CHANNELS),
    rest=rest(),
)
