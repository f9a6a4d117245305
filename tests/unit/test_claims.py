"""Claims of symbols: one fetch at a time for each, whoever asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

from tests.support.plant import wait_for
from tickerplant.jobs.claims import claimed


def told() -> Event:
    """A stop that has come."""
    event = Event()
    event.set()
    return event


def test_others_wait_for_symbols_that_are_held_and_for_no_others(tmp_path: Path) -> None:
    got = Event()

    def second() -> None:
        with claimed(tmp_path, "polygon", "bars", ["B", "C"], Event()):
            got.set()

    with claimed(tmp_path, "polygon", "bars", ["A", "B"], Event()) as is_held:
        assert is_held
        with claimed(tmp_path, "polygon", "bars", ["B"], told()) as other:
            assert not other
        free = [("polygon", "bars", ["C"]), ("polygon", "trades", ["A"]), ("alpaca", "bars", ["A"]), ("x", "bars", [])]
        for vendor, table, symbols in free:
            with claimed(tmp_path, vendor, table, symbols, told()) as other:
                assert other
        waiting = Thread(target=second)
        waiting.start()
        assert not got.wait(0.3)
    assert got.wait(10)
    waiting.join()


def test_claims_of_a_killed_process_are_free(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)])
    wait_for((tmp_path / "held").exists, 20, "a claim")
    with claimed(tmp_path, "polygon", "bars", ["A"], told()) as is_held:
        assert not is_held
    holder.kill()
    holder.wait()
    with claimed(tmp_path, "polygon", "bars", ["A"], told()) as is_held:
        assert is_held


_HOLD = """
import sys, threading
from pathlib import Path
from tickerplant.jobs.claims import claimed
with claimed(Path(sys.argv[1]), "polygon", "bars", ["A"], threading.Event()):
    (Path(sys.argv[1]) / "held").touch()
    threading.Event().wait()
"""
