"""Serve an ASGI application on one address until the block ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tickerplant.errors import UsageError

_STOP_S = 5.0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"serve: expected an address to listen on, was {host} port {port} ({why})") from None


@contextmanager
def serving(application: Any, host: str, port: int) -> Iterator[tuple[str, threading.Thread]]:
    """Serve in a thread: yields the base URL and that thread; port 0 is any free one.

    Raises UsageError without the extra `serve` and for an address that cannot be listened on.
    """
    if find_spec("uvicorn") is None:
        raise UsageError("serve: expected the extra `serve`, was without; do pip install 'tickerplant[serve]'")
    import uvicorn

    with _listen(host, port) as listener:
        config = uvicorn.Config(
            application, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="serve", daemon=True)
        thread.start()
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{listener.getsockname()[1]}", thread
        finally:
            server.should_exit = True
            thread.join(_STOP_S)
