import pytest

from stock.errors import OutOfStock
from stock.warehouse import Warehouse


def test_warehouses_do_not_share_stock():
    north = Warehouse("north")
    north.receive("bolt", 5)
    assert Warehouse("south").count("bolt") == 0


def test_shipping():
    store = Warehouse("north", {"nut": 4})
    store.ship("nut", 3)
    assert store.count("nut") == 1


def test_out_of_stock():
    with pytest.raises(OutOfStock):
        Warehouse("north", {"nut": 1}).ship("nut", 2)


def test_moving():
    north, south = Warehouse("north", {"nut": 4}), Warehouse("south", {})
    north.move_to(south, "nut", 3)
    assert (north.count("nut"), south.count("nut")) == (1, 3)


def test_low():
    assert Warehouse("north", {"nut": 4, "bolt": 1}).low(2) == ["bolt"]
