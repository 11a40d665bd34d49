import pytest

from cache import LRUCache


def test_least_recently_used_goes_first():
    cache = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert cache.keys() == ["a", "c"]


def test_get_returns_what_was_put():
    cache = LRUCache(2)
    cache.put("a", 1)
    assert cache.get("a") == 1
    assert cache.get("b", "none") == "none"


def test_overwriting_does_not_evict():
    cache = LRUCache(1)
    cache.put("a", 1)
    cache.put("a", 2)
    assert cache.get("a") == 2
    assert cache.stats.evictions == 0


def test_hit_rate():
    cache = LRUCache(1)
    cache.get("a")
    cache.put("a", 1)
    cache.get("a")
    assert cache.stats.hit_rate() == 0.5


def test_no_room():
    with pytest.raises(ValueError):
        LRUCache(0)
