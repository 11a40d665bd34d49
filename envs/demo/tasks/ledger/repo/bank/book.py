"""All accounts together."""

from bank.account import Account


class Book:
    def __init__(self):
        self.accounts = {}

    def open(self, name, balance=0, credit=0):
        if name in self.accounts:
            raise ValueError(f"there is an account {name}")
        self.accounts[name] = Account(name, balance, credit)
        return self.accounts[name]

    def transfer(self, source, target, amount, note=""):
        """Move money; neither account changes when it cannot be done."""
        giver, taker = self.accounts[source], self.accounts[target]
        giver.withdraw(amount, note or f"to {target}")
        taker.deposit(amount, note or f"from {source}")

    def total(self):
        return sum(account.balance for account in self.accounts.values())

    def statement(self, name):
        """Lines of an account's history with the balance after each."""
        account = self.accounts[name]
        balance = account.balance - sum(amount for amount, _ in account.history)
        lines = []
        for amount, note in account.history:
            balance += amount
            lines.append(f"{amount:+d} {note} = {balance}")
        return lines
