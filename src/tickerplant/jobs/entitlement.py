"""What an account's plan refuses, remembered with its time: one refused call speaks for all of its endpoint.

For vendors whose plans have an endpoint wholly or not at all (`Rest.is_plan_by_endpoint`). An endpoint that was refused
less than a day ago is not asked for; what would have been asked is landed as `not_asked`, so that coverage can say why
it is not there. After a day one request tries again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from tickerplant.model import Store
from tickerplant.net.http import RestClient
from tickerplant.rest import Answer, Call, Outcome, Verdict

REMEMBERED = timedelta(days=1)
"""How long a refusal of the plan counts."""

_NEWEST = """
select endpoint, max(case when outcome = 'not_entitled' then received_at end) as refused,
    max(case when outcome in ('rows', 'no_data') then received_at end) as answered
from coverage where vendor = ? group by endpoint
"""


def refused_endpoints(store: Store, vendor: str, now: datetime) -> dict[str, datetime]:
    """Endpoints whose last word was a refusal within the last day, and when."""
    rows = store.query(_NEWEST, [vendor]).to_pylist()
    return {
        r["endpoint"]: r["refused"]
        for r in rows
        if r["refused"] and r["refused"] > now - REMEMBERED and (r["answered"] is None or r["answered"] < r["refused"])
    }


@dataclass
class Entitlement:
    """Asks through a client, and not at all what the plan refuses. The first call of an endpoint goes alone."""

    refused: dict[str, datetime] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)
    _first: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def ask(self, client: RestClient, call: Call) -> tuple[Answer, Verdict]:
        """As `RestClient.ask`; outcome NOT_ASKED when the endpoint is known to be refused."""
        if not client.rest.is_plan_by_endpoint or call.endpoint in self._answered:
            return await client.ask(call)
        async with self._first[call.endpoint]:
            if call.endpoint in self.refused:
                return _not_asked(call, self.refused[call.endpoint])
            if call.endpoint not in self._answered:
                return await self._learn(client, call)
        return await client.ask(call)

    async def _learn(self, client: RestClient, call: Call) -> tuple[Answer, Verdict]:
        answer, verdict = await client.ask(call)
        if verdict.outcome == Outcome.NOT_ENTITLED:
            self.refused[call.endpoint] = datetime.now().astimezone()
        elif verdict.outcome in (Outcome.ROWS, Outcome.NO_DATA):
            self._answered.add(call.endpoint)
        return answer, verdict


def _not_asked(call: Call, since: datetime) -> tuple[Answer, Verdict]:
    reason = f"not asked: the plan refused {call.endpoint} at {since:%Y-%m-%d %H:%M %Z}"
    return Answer(0, msgspec.json.encode({"not_asked": reason}), {}), Verdict(Outcome.NOT_ASKED, reason)
