"""Reading `[section]`, `key = value`, and `key` lines."""


class SettingsError(ValueError):
    """A line that cannot be read."""

    def __init__(self, number, line):
        super().__init__(f"line {number}: {line!r}")
        self.number = number


def parse(text):
    """Return a dictionary of sections, each a dictionary of keys; a key alone has the value None."""
    sections = {"": {}}
    current = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise SettingsError(number, raw)
            current = line[1:-1].strip()
            sections.setdefault(current, {})
            continue
        key, equals, value = line.partition("=")
        if not key.strip():
            raise SettingsError(number, raw)
        sections[current][key.strip()] = value.strip() if equals else None
    return sections
