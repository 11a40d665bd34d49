import pytest

from bank.account import Account, Overdrawn
from bank.book import Book


def test_credit_can_be_used_up_but_not_passed():
    account = Account("a", 10, credit=5)
    account.withdraw(15)
    assert account.balance == -5
    with pytest.raises(Overdrawn):
        account.withdraw(1)


def test_many_transfers():
    book = Book()
    book.open("a", 50)
    book.open("b", 50)
    for amount in (10, 60, 5, 1):
        book.transfer("a", "b", 1)
        book.transfer("b", "a", 1)
    assert [account.balance for account in book.accounts.values()] == [50, 50]
    book.transfer("a", "b", 50)
    assert book.accounts["a"].balance == 0
    assert book.total() == 100


def test_statement_of_a_transfer():
    book = Book()
    book.open("a", 9)
    book.open("b")
    book.transfer("a", "b", 4)
    assert book.statement("a") == ["-4 to b = 5"]
    assert book.statement("b") == ["+4 from a = 4"]
