"""What can go wrong in a warehouse."""


class StockError(Exception):
    """Base of this package's errors."""


class OutOfStock(StockError):
    """Less is there than was asked for."""

    def __init__(self, item, wanted, there):
        super().__init__(f"{wanted} of {item} wanted, {there} there")
        self.item = item
