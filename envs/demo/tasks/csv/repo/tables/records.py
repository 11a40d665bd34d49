"""Rows as dictionaries."""

from tables.reader import read


def records(text):
    """The first row names the columns; short rows are filled with empty text."""
    rows = read(text)
    if not rows:
        return []
    header, *body = rows
    return [dict(zip(header, row + [""] * (len(header) - len(row)))) for row in body]


def column(text, name):
    return [record[name] for record in records(text)]
