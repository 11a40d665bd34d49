import pytest

from routing.network import Network
from routing.search import NoWay, reachable, shortest_path


@pytest.fixture
def roads():
    network = Network()
    network.add_road("A", "B", 1)
    network.add_road("B", "D", 2)
    network.add_road("A", "D", 10)
    network.add_road("D", "E", 4)
    network.add_place("island")
    return network


def test_two_short_roads_beat_a_long_one(roads):
    assert shortest_path(roads, "A", "D") == (3, ["A", "B", "D"])


def test_neighbours_are_one_road_away(roads):
    assert shortest_path(roads, "A", "B") == (1, ["A", "B"])


def test_standing_still_is_free(roads):
    assert shortest_path(roads, "E", "E") == (0, ["E"])


def test_island(roads):
    with pytest.raises(NoWay):
        shortest_path(roads, "A", "island")


def test_reachable(roads):
    assert reachable(roads, "E") == ["A", "B", "D", "E"]
