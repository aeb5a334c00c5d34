"""One pace for all who call a server.

A server that says "too many requests" is not asked again and again by everybody: the first time it
says so, all wait, as long as it asks for; then calls are spaced as it has taken them in the last
minute, and each reply makes them a little faster, until it says so again.
"""

import asyncio
import time
from collections import deque
from functools import cache

MINUTE = 60.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; a pause doubles while no reply comes
QUICKER = 1.3  # of the pace, with each reply
MOST = 1200  # calls a minute; above that they are not spaced


class Pace:
    """When the next call may be made, by time.monotonic. All who ask are on one loop."""

    def __init__(self):
        self.answered = False  # has the server ever said anything?
        self.began = time.monotonic()
        self.interval = 0.0  # seconds between calls
        self.next_at = 0.0  # when the next call may be made
        self.replies: deque[float] = deque()  # times of those of the last minute
        self.refused = 0  # calls refused since the last reply; those under way together are one
        self.refused_at = 0.0  # when the last of these was
        self.took = 0  # replies in the minute before that

    async def turn(self) -> float:
        """Wait for one's turn; the time of the call."""
        while (now := time.monotonic()) < self.next_at:
            await asyncio.sleep(self.next_at - now)
        self.next_at = now + self.interval
        return now

    def reply_came(self) -> None:
        """A call was answered: on, a little faster."""
        self.replies.append(time.monotonic())
        self.refused = 0
        self.interval /= QUICKER
        if self.interval < MINUTE / MOST:
            self.interval = 0.0

    def too_fast(self, began: float, pause: float) -> None:
        """The server refused a call that `began` then, and asks for a `pause`, or for none (0)."""
        now = time.monotonic()
        if began >= self.refused_at:
            self.refused_at = now
            self.refused += 1
        doubled = FIRST_PAUSE * 2.0 ** min(self.refused - 1, 10)
        self.next_at = max(self.next_at, now + min(pause or doubled, LONGEST_PAUSE))
        while self.replies and self.replies[0] < now - MINUTE:
            self.replies.popleft()
        self.took = len(self.replies) or self.took
        if self.replies:
            self.interval = min(now - self.began, MINUTE) / self.took
        else:
            self.interval = max(self.interval, FIRST_PAUSE)

    @property
    def said(self) -> str:
        """What a progress bar says of it."""
        return f"waiting: {self.took} calls/min" if self.interval else ""


@cache
def pace_of(server: str) -> Pace:
    """The pace of a server, one for all who call it."""
    return Pace()
