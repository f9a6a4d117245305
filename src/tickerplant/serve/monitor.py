"""GET /metrics (Prometheus) and GET /health (JSON; 503 when something fails), as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from tickerplant.jobs.health import worst
from tickerplant.serve.exposition import CONTENT_TYPE, render
from tickerplant.serve.metrics import metrics
from tickerplant.serve.observe import Observer

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Monitor:
    """The application. It has no login: whoever reaches it reads names, counts and errors, never a secret."""

    def __init__(self, observer: Observer, version: str) -> None:
        self._observer, self._version = observer, version

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"monitor: expected an HTTP request, was {scope['type']}")
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        page = {"/metrics": self._metrics, "/health": self._health}.get(path)
        if page is None:
            return 404, "text/plain", b"there is /metrics and /health\n"
        if method not in ("GET", "HEAD"):
            return 405, "text/plain", b"only GET\n"
        return await page()

    async def _metrics(self) -> tuple[int, str, bytes]:
        checks, counts = await self._observer.checks(), await self._observer.counts()
        found = metrics(checks, counts, datetime.now(UTC), self._version)
        return 200, CONTENT_TYPE, render(found).encode()

    async def _health(self) -> tuple[int, str, bytes]:
        checks = await self._observer.checks()
        outcome = worst(checks)
        body = msgspec.json.encode({"outcome": outcome, "checks": [asdict(c) for c in checks]})
        return 503 if outcome == "fail" else 200, "application/json", body
