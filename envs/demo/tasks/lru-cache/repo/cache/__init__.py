"""A small least-recently-used cache."""

from cache.lru import LRUCache

__all__ = ["LRUCache"]
