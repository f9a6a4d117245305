"""Days that tests count from."""

from __future__ import annotations

from datetime import date

from tickerplant.calendar import NEW_YORK
from tickerplant.clock import utc_now


def today() -> date:
    """The New York date now."""
    return utc_now().astimezone(NEW_YORK).date()
