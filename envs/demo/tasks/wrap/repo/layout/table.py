"""Simple tables with aligned columns."""

from layout.wrap import wrap


def columns(rows):
    """Return the width of each column."""
    widths = []
    for row in rows:
        for index, cell in enumerate(row):
            if index == len(widths):
                widths.append(0)
            widths[index] = max(widths[index], len(str(cell)))
    return widths


def render(rows, separator="  "):
    widths = columns(rows)
    lines = []
    for row in rows:
        cells = [str(cell).ljust(width) for cell, width in zip(row, widths)]
        lines.append(separator.join(cells).rstrip())
    return "\n".join(lines)


def definition(term, text, width):
    """A term, then its explanation wrapped beside it."""
    first, *rest = wrap(text, width - len(term) - 2) or [""]
    pad = " " * (len(term) + 2)
    return "\n".join([f"{term}: {first}"] + [pad + line for line in rest])
