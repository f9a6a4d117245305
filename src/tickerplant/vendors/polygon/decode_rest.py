"""One body -> rows, by the endpoint that was asked."""

from __future__ import annotations

from collections.abc import Callable

from tickerplant.errors import BadData
from tickerplant.rest import Asked, next_piece
from tickerplant.vendors.answers import Bad, Page
from tickerplant.vendors.polygon import decode_history as history
from tickerplant.vendors.polygon import decode_reference as reference
from tickerplant.vendors.polygon import decode_snapshots as present
from tickerplant.vendors.polygon import flat
from tickerplant.vendors.polygon.envelope import following

READERS: dict[str, Callable[[Asked, bytes], history.Readout]] = {
    **dict.fromkeys(("bars", "daily_bars", "index_bars", "previous"), history.bars),
    "grouped_daily": history.grouped,
    "trades": history.trades,
    "quotes": history.quotes,
    **dict.fromkeys(("tickers", "tickers_delisted", "ticker_details"), reference.tickers),
    **dict.fromkeys(("splits", "splits_v1"), reference.splits),
    **dict.fromkeys(("dividends", "dividends_v1"), reference.dividends),
    "ticker_events": reference.events,
    "market_days": reference.market_days,
    **dict.fromkeys(("snapshots", "snapshots_of", "snapshot"), present.snapshots),
    **dict.fromkeys(("snapshots_v3", "index_snapshots"), present.universal),
    "open_close": present.open_close,
    **{f"flat_{kind}": reader for kind, reader in flat.READERS.items()},
}
"""Of every endpoint that can be read, asked for by the plans or not."""


def read(asked: Asked, body: bytes) -> Page:
    """The rows of an answer. Raises BadData when it cannot be read at all."""
    reader = READERS.get(asked.call.endpoint)
    if reader is None:
        raise BadData(f"polygon: expected an endpoint of ours, was {asked.call.endpoint!r}, which has no table")
    found, bad = reader(asked, body)
    return Page(tuple(found), _apart(bad), next_piece(asked) if asked.piece else following(asked.call, body))


def _apart(bad: list[Bad]) -> tuple[Bad, ...]:
    """No two at one place: items that could not be parsed are counted apart from those with wrong values."""
    if len({b.item for b in bad}) == len(bad):
        return tuple(bad)
    return tuple(b._replace(item=i) for i, b in enumerate(bad))
