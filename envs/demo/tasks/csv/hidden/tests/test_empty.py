import pytest

from tables.reader import parse_line, read
from tables.writer import write


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", []),
        (",", ["", ""]),
        (",,", ["", "", ""]),
        ('a,""', ["a", ""]),
        ('""', [""]),
        ("a", ["a"]),
        ('a,"b"', ["a", "b"]),
    ],
)
def test_fields(line, fields):
    assert parse_line(line) == fields


@pytest.mark.parametrize("row", [["a", ""], ["", "b"], ["x", 'q"q', "a,b"], ["", "", ""]])
def test_what_is_written_is_read(row):
    assert read(write([row])) == [row]
