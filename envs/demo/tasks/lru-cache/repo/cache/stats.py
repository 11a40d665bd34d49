"""Counters that a cache keeps about itself."""


class Stats:
    def __init__(self):
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    @property
    def requests(self):
        return self.hits + self.misses

    def hit_rate(self):
        """Share of requests that were answered, between 0 and 1; 0 when there were none."""
        if self.requests == 0:
            return 0.0
        return self.hits / self.requests
