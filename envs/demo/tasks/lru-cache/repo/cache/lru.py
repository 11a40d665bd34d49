"""The cache itself: an ordered dictionary, least recently used entry first."""

from collections import OrderedDict

from cache.stats import Stats

_ABSENT = object()


class LRUCache:
    """Keeps the `capacity` entries that were used last."""

    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError("a cache needs room for one entry at least")
        self.capacity = capacity
        self.stats = Stats()
        self._entries = OrderedDict()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, key):
        return key in self._entries

    def get(self, key, default=None):
        value = self._entries.get(key, _ABSENT)
        if value is _ABSENT:
            self.stats.misses += 1
            return default
        self.stats.hits += 1
        self._entries.move_to_end(key)
        return value

    def put(self, key, value):
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self.capacity:
            self._entries.popitem(last=True)
            self.stats.evictions += 1

    def keys(self):
        """Keys, least recently used first."""
        return list(self._entries)
