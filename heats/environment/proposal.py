"""What detection proposes, and in which order it looks."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """How to test a repository, as its files suggest.

    Attributes:
        language: `python`, `node`, `go`, `rust`; empty if nothing was recognised.
        test: test command.
        setup: set-up command; empty if none is needed.
        image: image to use with Docker, for languages that the default image lacks.
        found: which files say so, one line each.
        notes: what the user should know or decide.
    """

    language: str = ""
    test: str = ""
    setup: str = ""
    image: str = ""
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def noting(self, *notes: str) -> "Proposal":
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))
