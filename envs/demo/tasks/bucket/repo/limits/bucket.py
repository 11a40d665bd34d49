"""A token bucket."""

import time


class TokenBucket:
    """Holds up to `capacity` tokens and gains `rate` tokens a second."""

    def __init__(self, capacity, rate, clock=time.monotonic):
        if capacity <= 0 or rate <= 0:
            raise ValueError("capacity and rate must be positive")
        self.capacity = capacity
        self.rate = rate
        self.clock = clock
        self.tokens = float(capacity)
        self.updated = clock()

    def _refill(self):
        now = self.clock()
        gained = (now - self.updated) * self.rate
        self.tokens = max(self.capacity, self.tokens + gained)
        self.updated = now

    def take(self, count=1):
        """Take tokens; False, and none taken, when there are too few."""
        self._refill()
        if self.tokens > count:
            self.tokens -= count
            return True
        return False

    def wait_time(self, count=1):
        """Seconds until `count` tokens will be there."""
        self._refill()
        missing = count - self.tokens
        return max(0.0, missing / self.rate)
