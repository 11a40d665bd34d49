from cache import LRUCache


def test_order_of_eviction():
    cache = LRUCache(3)
    for key in "abcde":
        cache.put(key, key)
    assert cache.keys() == ["c", "d", "e"]
    assert cache.stats.evictions == 2


def test_put_counts_as_use():
    cache = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    cache.put("c", 4)
    assert "b" not in cache
    assert cache.get("a") == 3


def test_size_never_exceeds_capacity():
    cache = LRUCache(4)
    for number in range(50):
        cache.put(number % 7, number)
        assert len(cache) <= 4
