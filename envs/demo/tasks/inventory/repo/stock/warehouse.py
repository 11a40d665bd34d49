"""One warehouse."""

from stock.errors import OutOfStock
from stock.ledger import add


class Warehouse:
    def __init__(self, name, amounts={}):
        self.name = name
        self.amounts = amounts

    def count(self, item):
        return self.amounts.get(item, 0)

    def receive(self, item, amount):
        if amount < 1:
            raise ValueError("receive at least one")
        add(self.amounts, item, amount)

    def ship(self, item, amount):
        there = self.count(item)
        if amount > there:
            raise OutOfStock(item, amount, there)
        add(self.amounts, item, -amount)

    def move_to(self, other, item, amount):
        self.ship(item, amount)
        other.receive(item, amount)

    def low(self, limit):
        """Items of which fewer than `limit` are left, sorted."""
        return sorted(item for item, amount in self.amounts.items() if amount < limit)
