"""Numbering the headings of a document."""

from numerals.convert import to_roman


def number_headings(headings, style="roman"):
    """Put a number before each heading."""
    lines = []
    for index, heading in enumerate(headings, start=1):
        number = to_roman(index) if style == "roman" else str(index)
        lines.append(f"{number}. {heading}")
    return lines
