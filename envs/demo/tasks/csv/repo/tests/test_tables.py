import pytest

from tables.reader import QuoteError, parse_line
from tables.records import column, records
from tables.writer import write


def test_plain_fields():
    assert parse_line("a,b,c") == ["a", "b", "c"]


def test_empty_field_at_the_end():
    assert parse_line("a,") == ["a", ""]


def test_empty_field_in_the_middle():
    assert parse_line("a,,c") == ["a", "", "c"]


def test_quotes():
    assert parse_line('"a,b",c') == ["a,b", "c"]
    assert parse_line('"say ""hi""",x') == ['say "hi"', "x"]


def test_unclosed_quote():
    with pytest.raises(QuoteError):
        parse_line('"a')


def test_records():
    assert records("n,v\na,1\nb,2\n") == [{"n": "a", "v": "1"}, {"n": "b", "v": "2"}]
    assert column("n,v\na,1\n", "v") == ["1"]


def test_writing():
    assert write([["a,b", 1]]) == '"a,b",1\n'
