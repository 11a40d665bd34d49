from routing.network import Network
from routing.search import shortest_path


def chain(count):
    network = Network()
    for number in range(count):
        network.add_road(f"p{number:03}", f"p{number + 1:03}", 1)
    network.add_road("p000", f"p{count:03}", count + 1)
    return network


def test_long_chain_beats_a_slightly_longer_road():
    cost, path = shortest_path(chain(20), "p000", "p020")
    assert cost == 20
    assert len(path) == 21


def test_one_way():
    network = Network()
    network.add_road("A", "B", 1, one_way=True)
    network.add_road("B", "C", 5)
    network.add_road("C", "A", 5)
    assert shortest_path(network, "B", "A") == (10, ["B", "C", "A"])


def test_increasing_lengths():
    network = Network()
    network.add_road("A", "B", 2)
    network.add_road("B", "C", 3)
    network.add_road("C", "D", 4)
    network.add_road("A", "D", 8)
    assert shortest_path(network, "A", "D") == (8, ["A", "D"])
    assert shortest_path(network, "A", "C") == (5, ["A", "B", "C"])
