"""The result of detection."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class SuggestedTests:
    """How to test a repository, as its files suggest.

    Attributes:
        language: `python`, `node`, `go`, `rust`; empty if nothing was recognised.
        test: test command.
        setup: set-up command; empty if none is needed.
        image: image to use with Docker, for languages that the default image lacks.
        found: files that the proposal is based on, one line each.
        notes: points for the user to know or decide.
    """

    language: str = ""
    test: str = ""
    setup: str = ""
    image: str = ""
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def noting(self, *notes: str) -> "SuggestedTests":
        """Return a copy with additional notes."""
        return replace(self, notes=(*self.notes, *notes))
