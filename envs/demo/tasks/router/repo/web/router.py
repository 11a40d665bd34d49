"""A list of routes; the first that fits wins."""

from web.errors import NotFound
from web.pattern import Pattern


class Router:
    def __init__(self):
        self.routes = []

    def add(self, text, handler):
        self.routes.append((Pattern(text), handler))

    def find(self, path):
        """Return (handler, values)."""
        for pattern, handler in self.routes:
            values = pattern.match(path.partition("?")[0])
            if values is not None:
                return handler, values
        raise NotFound(path)
