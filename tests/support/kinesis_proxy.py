"""An HTTP proxy before a Kinesis server that refuses, throttles and goes away, and checks every PutRecords call.

It notes what it acknowledged, so that whatever is sent again after that is seen.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Lock, Thread
from typing import Any, Literal
from urllib.parse import urlsplit

MAX_RECORDS, MAX_CALL_BYTES, MAX_RECORD_BYTES = 500, 5 * 2**20, 2**20
Way = Literal["forward", "down", "cut"]
"""Calls pass; are answered with 503; lose their connection after the server has done them."""


@dataclass
class Faults:
    """What goes wrong, as shares of all records or calls; `way` may change at any time."""

    record_share: float = 0.0
    throttle_share: float = 0.0
    seed: int = 1
    expired: int = 0
    """So many GetRecords calls are told that their iterator has expired."""
    unknown: bool = False
    """No sequence number is known any more, as in a stream made anew."""
    way: Way = "forward"


@dataclass
class Seen:
    """What the proxy saw. `problems` are broken promises of the sender."""

    calls: int = 0
    records: int = 0
    refused: int = 0
    throttled: int = 0
    lost: int = 0
    largest_call: int = 0
    most_records: int = 0
    problems: list[str] = field(default_factory=list)
    acknowledged: Counter[bytes] = field(default_factory=Counter)


class Proxy:
    """The state that all connections share."""

    def __init__(self, target: str, faults: Faults) -> None:
        self.faults, self.seen = faults, Seen()
        self._target = urlsplit(target)
        self._chance, self._lock = Random(faults.seed), Lock()

    def answer(self, action: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Status and body for a call; None cuts the connection."""
        if self.faults.way == "down":
            with self._lock:
                self.seen.lost += 1
            return 503, b'{"__type":"ServiceUnavailable","message":"an outage"}'
        if action == "GetRecords" and self.faults.expired:
            self.faults.expired -= 1
            return 400, b'{"__type":"ExpiredIteratorException","message":"iterator expired"}'
        if action == "GetShardIterator" and self.faults.unknown and b"AFTER_SEQUENCE_NUMBER" in body:
            self.seen.lost += 1
            return 400, b'{"__type":"InvalidArgumentException","message":"no such sequence number"}'
        if action != "PutRecords":
            return self._pass(headers, body)
        call = json.loads(body)
        with self._lock:
            self._check(call["Records"])
            if self._chance.random() < self.faults.throttle_share:
                self.seen.throttled += 1
                return 400, b'{"__type":"ProvisionedThroughputExceededException","message":"slow down"}'
            is_refused = [self._chance.random() < self.faults.record_share for _ in call["Records"]]
        found = self._put(call, is_refused, headers)
        if self.faults.way == "cut":
            self.seen.lost += 1
            return None
        return found

    def _check(self, records: list[dict[str, Any]]) -> None:
        """Hold a call against the service's limits and against what was acknowledged before."""
        sizes = [len(base64.b64decode(r["Data"])) + len(r["PartitionKey"].encode()) for r in records]
        seen = self.seen
        seen.calls += 1
        seen.records += len(records)
        seen.largest_call, seen.most_records = max(seen.largest_call, sum(sizes)), max(seen.most_records, len(records))
        if not 1 <= len(records) <= MAX_RECORDS or sum(sizes) > MAX_CALL_BYTES or max(sizes) > MAX_RECORD_BYTES:
            seen.problems.append(f"a call of {len(records)} records, {sum(sizes)} bytes, largest {max(sizes)}")
        for record in records:
            if seen.acknowledged[_name(record)]:
                seen.problems.append(f"a record sent again after it was acknowledged: {_name(record)!r}")
        keys = Counter(r["PartitionKey"] for r in records)
        if max(keys.values()) > 1:
            seen.problems.append("two records of one lane in a call")

    def _put(self, call: dict[str, Any], is_refused: list[bool], headers: dict[str, str]) -> tuple[int, bytes]:
        """Pass on what is not refused, and put the answers together."""
        kept = [r for r, no in zip(call["Records"], is_refused, strict=True) if not no]
        stored: list[dict[str, Any]] = []
        if kept:
            status, data = self._pass(headers, json.dumps({**call, "Records": kept}).encode())
            if status != 200:
                return status, data
            stored = json.loads(data)["Records"]
        left = iter(stored)
        refusal = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "rate exceeded"}
        answers = [refusal if no else next(left) for no in is_refused]
        with self._lock:
            self.seen.refused += sum(is_refused)
            if self.faults.way != "cut":
                self.seen.acknowledged.update(
                    _name(r) for r, a in zip(call["Records"], answers, strict=True) if "ErrorCode" not in a
                )
        failed = sum("ErrorCode" in a for a in answers)
        return 200, json.dumps({"FailedRecordCount": failed, "Records": answers}).encode()

    def _pass(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert self._target.hostname is not None
        connection = http.client.HTTPConnection(self._target.hostname, self._target.port, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            found = connection.getresponse()
            return found.status, found.read()
        finally:
            connection.close()


def _name(record: dict[str, Any]) -> bytes:
    """What makes a record the same one when it is sent again: its lane and its bytes."""
    return f"{record['PartitionKey']} {hash(record['Data'])}".encode()


_KEPT = ("content-type", "x-amz-target", "authorization", "x-amz-date")


@contextmanager
def between(target: str, faults: Faults) -> Iterator[tuple[str, Proxy]]:
    """A proxy before `target` while in `with`: its URL and itself."""
    proxy = Proxy(target, faults)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            action = self.headers["X-Amz-Target"].rpartition(".")[2]
            headers = {k: v for k, v in self.headers.items() if k.lower() in _KEPT}
            found = proxy.answer(action, headers, body)
            if found is None:
                self.close_connection = True
                return
            status, data = found
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
