import pytest

from bank.account import Overdrawn
from bank.book import Book


@pytest.fixture
def book():
    book = Book()
    book.open("checking", 100)
    book.open("savings")
    return book


def test_a_transfer_leaves_the_sum(book):
    book.transfer("checking", "savings", 30)
    assert book.total() == 100


def test_a_transfer_arrives(book):
    book.transfer("checking", "savings", 30)
    assert book.accounts["savings"].balance == 30


def test_everything_can_be_spent(book):
    book.accounts["checking"].withdraw(100)
    assert book.accounts["checking"].available == 0


def test_not_more_than_there_is(book):
    with pytest.raises(Overdrawn):
        book.transfer("savings", "checking", 1)
    assert book.total() == 100


def test_no_second_account_of_a_name(book):
    with pytest.raises(ValueError):
        book.open("savings")


def test_statement_of_deposits(book):
    book.accounts["savings"].deposit(5, "gift")
    book.accounts["savings"].deposit(7, "more")
    assert book.statement("savings") == ["+5 gift = 5", "+7 more = 12"]
