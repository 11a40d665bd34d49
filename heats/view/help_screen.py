"""The help of `heats view` (`?`): keys of the current screen, and the meaning of terms and marks."""

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

_ALWAYS = (("Enter", "open what the cursor is on"), ("arrows, j, k", "move"), ("PageUp, PageDown", "move by a page"))
_WORDS = (
    ("heat", "the rollouts of one iteration and their tournament"),
    ("rollout", "one attempt; 0/03 is rollout 3 of heat 0"),
    ("pass@1, pass@N", "share of rollouts that succeed; whether any of N does"),
    ("Sel-K", "share of the kept rollouts that succeed"),
    ("final", "whether the selected rollout succeeds"),
    ("evidence", "what was executed, and the results"),
    ("grade", "the verdict of hidden tests, which selection never sees"),
)


class HelpScreen(ModalScreen[None]):
    """An overlay on the screen whose keys it lists.

    Args:
        keys: keys of that screen, each with its action.
    """

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll { width: 76; max-height: 90%; height: auto; }
    HelpScreen VerticalScroll { background: $surface; border: round $primary; }
    HelpScreen Static { padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,backspace", "dismiss", "Close", show=False)
    ]

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self.keys = [*_ALWAYS, *keys]

    def compose(self) -> ComposeResult:
        """Keys, then words."""
        table = Table.grid(padding=(0, 2))
        table.add_row(Text("Keys", style="bold"), "")
        for key, does in self.keys:
            table.add_row(Text(key, style="cyan"), Text(does))
        table.add_row("", "")
        table.add_row(Text("Words", style="bold"), "")
        for word, means in _WORDS:
            table.add_row(Text(word, style="cyan"), Text(means))
        table.add_row("", "")
        table.add_row(Text("Escape closes this.", style="dim"), "")
        yield VerticalScroll(Static(table, id="help"))
