"""Determine what is new on a terminal's screen: nothing is shown twice, and nothing is dropped silently."""

from dataclasses import dataclass
from typing import Literal

from agents.terminal.tmux import View


@dataclass(frozen=True, slots=True)
class News:
    """What to show after a look at the screen.

    Attributes:
        text: the lines to show.
        kind: `new` lines below those already shown, the `whole` screen if that cannot be determined, or the `changed`
            lines of a full-screen program, each with its row.
        lost: whether the terminal's history was too short, so that the beginning of the new lines is lost.
        exit_code: exit code of the shell's command, if one has ended since the last look.
    """

    text: str
    kind: Literal["new", "whole", "changed"]
    lost: bool = False
    exit_code: int | None = None


class Screen:
    """Tracks what was shown of one terminal.

    Args:
        rows: height of the screen.
        history: lines that the terminal keeps above it.
    """

    def __init__(self, rows: int, history: int) -> None:
        self.rows, self.history = rows, history
        self._normal: View | None = None
        self._full: View | None = None
        self._prompt = ""

    def forget(self) -> None:
        """Forget everything shown, because the terminal was replaced."""
        self._normal = self._full = None
        self._prompt = ""

    def news(self, view: View) -> News:
        """Return what is new in a view, which counts as shown afterwards."""
        ended = view.prompt != self._prompt and not view.running
        self._prompt = view.prompt if ended else self._prompt
        found = self._of_program(view) if view.full_screen else self._of_shell(view)
        code = view.exit_code if ended else None
        return News(found.text, found.kind, found.lost, code)

    def _of_program(self, view: View) -> News:
        """For a full-screen program: the changed rows, if they are the smaller part."""
        before, self._full = self._full, view
        if before is None:
            return News("\n".join(view.lines), "whole")
        old, new = (list(one.lines) + [""] * (self.rows - len(one.lines)) for one in (before, view))
        changed = [f"{row}: {line}" for row, (line, was) in enumerate(zip(new, old, strict=False), 1) if line != was]
        if len(new) != len(old) or 2 * len(changed) > len(new):
            return News("\n".join(view.lines), "whole")
        return News("\n".join(changed), "changed")

    def _of_shell(self, view: View) -> News:
        """For the shell: the lines below those already shown, even if the terminal has dropped the oldest of them."""
        before, self._normal, self._full = self._normal, view, None
        lines = view.lines
        # The last line was a prompt or an incomplete line, and may have been extended since.
        known = before.lines[:-1] if before is not None else ()
        for dropped in (at for at, line in enumerate(known) if lines and line == lines[0]):
            kept = len(known) - dropped
            if known[dropped:] == lines[:kept]:
                return News("\n".join(lines[kept:]), "new")
        if before is not None and not known:
            return News("\n".join(lines), "new")
        if before is not None and view.history >= 0.9 * self.history:
            return News("\n".join(lines), "new", lost=True)
        return News("\n".join(lines[-self.rows :]), "whole")
