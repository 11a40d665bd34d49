"""What can go wrong with routes."""


class RouteError(ValueError):
    """A route that cannot be added."""


class NotFound(LookupError):
    """No route fits the path."""
