"""How far the spool of a partition has been sent: a small file, replaced after each call that stored something.

Losing the last replacement costs records sent twice, which readers drop; so it is not synced.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tickerplant.errors import BadData


class LaneState(msgspec.Struct):
    """`since`: receipt of the lane's first line ever; `acked`: of its last one that the service stored; -1: none.
    `behind`: receipt of the first one behind a damage of the spool, -1 while it has not come."""

    since: int = -1
    acked: int = -1
    behind: int | None = None


class Cursor(msgspec.Struct):
    """Everything before `at` (a position of the spool) is stored by the service. `lanes` by their names."""

    at: int = 0
    lanes: dict[str, LaneState] = {}


_NAME = "sent.json"


def read_cursor(folder: Path) -> Cursor:
    """The cursor of a partition's folder, a new one where there is none. Raises BadData for a foreign file."""
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=Cursor)
    except FileNotFoundError:
        return Cursor()
    except msgspec.MsgspecError as error:
        raise BadData(f"{folder / _NAME}: expected a cursor of a spool, was {error}; restore or remove it") from error


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Replace the cursor as a whole."""
    replace_file(folder / _NAME, msgspec.json.encode(cursor))


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that it holds either its old bytes or the new ones."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)
