"""One client of the simulator: delivery of slices to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tickerplant.net.served import Connection, Served, framed
from tickerplant.simulator.oracle import Sent
from tickerplant.simulator.source import UNKNOWN, Ints, Slice
from tickerplant.vendors.dialect import Dialect

UNKNOWN_MESSAGE = b'{"T":"zz","S":"ZZZ","NewField":[1,{"deep":null}],"t":"2025-11-20T14:30:00.000000001Z"}'


class Client(Served):
    """A connection: what it may see, what it was sent."""

    def __init__(
        self, feed: str, make: Callable[[Client], Connection], dialect: Dialect, on_change: Callable[[Client], None]
    ) -> None:
        super().__init__(feed, make, dialect.auth_timeout_s, on_change)
        self.sent: Sent | None = None
        self._dialect = dialect
        self._mask: tuple[int, list[str], npt.NDArray[np.bool_]] | None = None

    def answered(self, frames: int) -> None:
        """Count control frames."""
        if self.sent:
            self.sent.control += frames

    def mask(self, names: list[str]) -> npt.NDArray[np.bool_]:
        """Which channel codes (first axis) of which symbols (second axis) this client has subscribed."""
        if self._mask is None or self._mask[0] != self.protocol.version or self._mask[1] is not names:
            found = np.zeros((256, len(names)), bool)
            for code, channel in enumerate(self._dialect.channels):
                symbols = self.protocol.symbols(channel.vendor_name)
                found[code] = True if symbols is None else [name in symbols for name in names]
            found[UNKNOWN:] = True
            self._mask = self.protocol.version, names, found
        return self._mask[2]

    async def deliver(self, part: Slice, chosen: Ints, per_frame: int, repeat_first: bool = False) -> bool:
        """Send messages of a slice and count them once the kernel has them all; False when the client is gone."""
        if not len(chosen):
            return True
        frames = self._frames(part, chosen, per_frame)
        payloads = [payload for payload, _ in frames]
        counted = chosen
        if repeat_first:
            payloads.insert(0, payloads[0])
            counted = np.concatenate([chosen[: frames[0][1]], chosen])
        if not await self._write(payloads):
            return False
        assert self.sent is not None
        self.sent.data(part, counted, len(payloads))
        self.sent.duplicates += len(counted) - len(chosen)
        return True

    async def deliver_garbled(self, part: Slice, place: int) -> bool:
        """Send one message as a frame of its own that ends in the middle."""
        payload = self._pack([part.messages[place]])
        if not await self._write([payload[: max(2, len(payload) * 2 // 3)]]):
            return False
        assert self.sent is not None
        self.sent.garbled += 1
        self.sent.frames += 1
        return True

    async def deliver_unknown(self) -> bool:
        """Send a message of a type that nobody documented."""
        if not await self._write([self._pack([UNKNOWN_MESSAGE])]):
            return False
        assert self.sent is not None
        self.sent.unknown += 1
        self.sent.frames += 1
        return True

    def _pack(self, messages: list[bytes]) -> bytes:
        binary = self.protocol.is_binary
        return self._dialect.frame([self._dialect.packed(m) for m in messages] if binary else messages, binary)

    def _frames(self, part: Slice, chosen: Ints, per_frame: int) -> list[tuple[bytes, int]]:
        """Payloads and the number of messages in each."""
        if part.frames is not None:
            return _kept(part, chosen, self._pack, self.protocol.is_binary)
        first, last = int(chosen[0]), int(chosen[-1]) + 1
        if last - first == len(chosen):
            messages = part.messages[first:last]
        else:
            messages = [part.messages[k] for k in chosen.tolist()]
        cuts = range(0, len(messages), per_frame)
        return [(self._pack(taken), len(taken)) for k in cuts if (taken := messages[k : k + per_frame])]

    async def _write(self, payloads: list[bytes]) -> bool:
        return await self.write(framed(payloads, self.protocol.is_binary))


def _kept(part: Slice, chosen: Ints, pack: Callable[[list[bytes]], bytes], is_binary: bool) -> list[tuple[bytes, int]]:
    """The source's own frames, whole ones byte for byte when the client speaks their encoding."""
    frames: Any = part.frames
    numbers, starts = np.unique(frames[chosen], return_index=True)
    found = []
    for number, places in zip(numbers.tolist(), np.split(chosen, starts[1:]), strict=True):
        first, last = np.searchsorted(frames, [number, number + 1]).tolist()
        payload = part.payloads[number]
        if len(places) == last - first and (payload[:1] not in (b"[", b"{", b" ")) == is_binary:
            found.append((payload, len(places)))
        elif part.channels[places[0]] == 255:
            found.append((payload, 1))
        else:
            found.append((pack([part.messages[k] for k in places.tolist()]), len(places)))
    return found
