"""Sharing an amount between people."""

from billing.money import Money


def split(amount, people):
    """Split evenly; the first shares are one cent larger where it cannot be even."""
    if people < 1:
        raise ValueError("nobody to share with")
    share, remainder = divmod(amount.cents, people)
    return [Money(share + 1) if index > remainder else Money(share) for index in range(people)]


def split_by_weight(amount, weights):
    """Split in proportion to whole weights; what rounding leaves goes to the heaviest."""
    total = sum(weights)
    if total <= 0:
        raise ValueError("weights must add up to something")
    shares = [amount.cents * weight // total for weight in weights]
    heaviest = weights.index(max(weights))
    shares[heaviest] += amount.cents - sum(shares)
    return [Money(share) for share in shares]


def total(shares):
    result = Money(0)
    for share in shares:
        result = result + share
    return result
