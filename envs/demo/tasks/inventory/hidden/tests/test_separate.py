from stock.warehouse import Warehouse


def test_three_warehouses_are_separate():
    houses = [Warehouse(name) for name in "abc"]
    for index, house in enumerate(houses):
        house.receive("bolt", index + 1)
    assert [house.count("bolt") for house in houses] == [1, 2, 3]


def test_the_initial_stock_is_kept():
    assert Warehouse("a", {"nut": 2}).count("nut") == 2


def test_the_last_one_shipped_is_gone():
    house = Warehouse("a", {"nut": 2})
    house.ship("nut", 2)
    assert house.amounts == {}
