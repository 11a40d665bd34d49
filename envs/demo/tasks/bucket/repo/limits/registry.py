"""One bucket for each caller."""

from limits.bucket import TokenBucket


class Registry:
    def __init__(self, capacity, rate, clock):
        self.make = lambda: TokenBucket(capacity, rate, clock)
        self.buckets = {}

    def allow(self, caller):
        if caller not in self.buckets:
            self.buckets[caller] = self.make()
        return self.buckets[caller].take()
