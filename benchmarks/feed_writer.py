"""Writes lines into a log at a steady pace, stamped as they are written: `feed_writer FOLDER RATE SECONDS`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tickerplant.logs.line import encode
from tickerplant.model import Kind, Record

_PER_FRAME = 5
_QUOTE = (
    b'{"T":"q","S":"S%d","bx":"Q","bp":10.25,"bs":%d,"ax":"N","ap":10.26,"as":3,"c":["R"],"z":"C",'
    b'"t":"2025-11-20T14:30:00.123456789Z"}'
)


def write(folder: Path, rate: int, seconds: float) -> None:
    """Frames of five quotes, one line each, straight to the file: what is written can be read at once."""
    folder.mkdir(parents=True)
    fd = os.open(folder / "0000000000.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began, number = time.monotonic(), 0
    while number < rate * seconds:
        due = int((time.monotonic() - began) * rate)
        while number < due:
            quotes = [_QUOTE % (k % 3000, k) for k in range(number, number + _PER_FRAME)]
            payload = b"[" + b",".join(quotes) + b"]"
            os.write(fd, encode(Record("alpaca", "sip", Kind.DATA, time.time_ns(), payload)))
            number += _PER_FRAME
        time.sleep(0.0005)
    os.close(fd)


if __name__ == "__main__":
    write(Path(sys.argv[1]) / "alpaca.sip", int(sys.argv[2]), float(sys.argv[3]))
