"""Amounts by item."""


def start_with(initial=None):
    """A fresh dictionary of amounts, filled with the initial ones."""
    amounts = {} if initial is None else dict(initial)
    return {item: amount for item, amount in amounts.items() if amount}


def add(amounts, item, amount):
    amounts[item] = amounts.get(item, 0) + amount
    if amounts[item] == 0:
        del amounts[item]
    return amounts
