"""One account. Amounts are whole cents."""


class Overdrawn(Exception):
    """The account does not hold that much."""


class Account:
    def __init__(self, name, balance=0, credit=0):
        self.name = name
        self.balance = balance
        self.credit = credit
        self.history = []

    @property
    def available(self):
        return self.balance + self.credit

    def deposit(self, amount, note=""):
        if amount <= 0:
            raise ValueError("deposit something")
        self.balance += amount
        self.history.append((amount, note))

    def withdraw(self, amount, note=""):
        if amount <= 0:
            raise ValueError("withdraw something")
        if amount >= self.available:
            raise Overdrawn(f"{self.name} has {self.available}, not {amount}")
        self.balance += amount
        self.history.append((-amount, note))
