"""What a command's lines and its end mean. Pure."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from tickerplant.jobs.child import Done

_LEVEL = re.compile(r"\[(debug|info|warning|error|critical)\s*\]")
_NAMES = {75: "try again later", 2: "wrong command or setting", 1: "failed"}


def level_of(line: str) -> int:
    """The level of one of our log lines; a line that names none is information, unless it begins with `error`."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    if found := _LEVEL.search(plain):
        return logging.getLevelNamesMapping()[found[1].upper()]
    return logging.ERROR if plain.startswith("error") else logging.INFO


def message_of(arguments: Sequence[str], done: Done) -> str:
    """One line about a command that did not end well."""
    meaning = _NAMES.get(done.code, f"ended by signal {-done.code}" if done.code < 0 else "stopped")
    return f"tickerplant {arguments[0]}: expected exit code 0, was {done.code} ({meaning}); see the lines above"


def tail_of(output: str, most: int) -> str:
    """The last line of an output, empty when it is longer than `most` characters."""
    lines = output.strip().splitlines()
    return lines[-1] if lines and len(lines[-1]) <= most else ""
