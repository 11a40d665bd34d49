"""Reading comma-separated lines, with quotes."""


class QuoteError(ValueError):
    """A quoted field is not closed."""


def parse_line(line, separator=","):
    """Return the fields of one line. Two quotes inside a quoted field stand for one."""
    if line == "":
        return []
    fields = []
    field = ""
    quoted = False
    at = 0
    while at < len(line):
        char = line[at]
        if quoted and char == '"' and line[at + 1 : at + 2] == '"':
            field += '"'
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            fields.append(field)
            field = ""
        else:
            field += char
        at += 1
    if quoted:
        raise QuoteError(line)
    if field:
        fields.append(field)
    return fields


def read(text, separator=","):
    """Return all rows of a text."""
    return [parse_line(line, separator) for line in text.splitlines() if line]
