"""Patterns such as `/users/{name}`."""

from web.errors import RouteError


class Pattern:
    def __init__(self, text):
        if not text.startswith("/"):
            raise RouteError(f"a route starts with a slash: {text}")
        self.text = text
        self.parts = [self._part(part) for part in text.strip("/").split("/")]
        names = [name for name, _ in self.parts if name]
        if len(names) != len(set(names)):
            raise RouteError(f"a name is used twice: {text}")

    def _part(self, part):
        """Return (name, None) of a placeholder, (None, text) of fixed text."""
        if not (part.startswith("{") and part.endswith("}")):
            return None, part
        return part[1:-1], None

    def match(self, path):
        """Return the values by name; None when the path does not fit."""
        pieces = path.strip("/").split("/")
        if len(pieces) != len(self.parts):
            return None
        values = {}
        for (name, rule), piece in zip(self.parts, pieces):
            if name is None:
                if rule != piece:
                    return None
                continue
            if not piece:
                return None
            values[name] = piece
        return values
