"""Writing comma-separated lines."""


def quote(field, separator=","):
    if any(char in field for char in (separator, '"', "\n")):
        return '"' + field.replace('"', '""') + '"'
    return field


def write(rows, separator=","):
    return "".join(separator.join(quote(str(field), separator) for field in row) + "\n" for row in rows)
