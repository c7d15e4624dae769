"""Which faults are worth another try, and after how long."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
LONGEST_ASKED_WAIT_S = 600.0
"""The longest wait that a server may ask for; past it the request fails."""


def is_passing(http_status: int | None) -> bool:
    """Whether a fault may pass by itself: no answer, a timeout, a conflict, too many requests, a server error."""
    return http_status is None or http_status in (408, 409, 425, 429) or http_status >= 500


def asked_wait(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header (seconds, or an HTTP date) asks for; None where it asks nothing."""
    if retry_after is None:
        return None
    if retry_after.strip().replace(".", "", 1).isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def wait_before(send: int, generator: random.Random) -> float:
    """Seconds before send number `send` (2, 3, …): doubled each time, drawn from the upper half."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (send - 2))
    return generator.uniform(longest / 2, longest)
