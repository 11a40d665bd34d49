"""The base of all screens of `heats view`: a title and a searchable table."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from core.sanitize import for_screen
from heats.view.help_screen import HelpScreen

LOOK_EVERY_S = 1.0
_KEYS = {"slash": "/", "escape,backspace": "Escape, Backspace"}
"""Display names of keys."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table. `search` is the text that searches match."""

    key: str
    cells: tuple[Text, ...]
    search: str


class ListScreen(Screen[None]):
    """A title, a searchable table, and the action of Enter on a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("escape,backspace", "back", "Back"),
        Binding("j", "cursor(1)", "Down", show=False),
        Binding("k", "cursor(-1)", "Up", show=False),
        Binding("q", "app.quit", "Quit"),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def rows(self) -> ComposeResult:
        """The widgets of the upper part: search field and table."""
        yield Static(id="title")
        yield Input(placeholder="search", id="search")
        yield DataTable(id="rows", cursor_type="row")

    def on_mount(self) -> None:
        """Hide the search field until it is asked for."""
        self.query_one("#search", Input).display = False
        self.table.focus()

    @property
    def table(self) -> DataTable[Text]:
        """The table."""
        return self.query_one("#rows", DataTable)

    def title_text(self, text: Text) -> None:
        """Show a title."""
        self.query_one("#title", Static).update(text)

    def fill(self, lines: list[Line]) -> None:
        """Show the lines that match the search; the cursor stays on its row."""
        self.lines = lines
        wanted = for_screen(self.query_one("#search", Input).value).lower()
        table = self.table
        at = self.current()
        table.clear()
        for line in lines:
            if wanted in line.search.lower():
                table.add_row(*line.cells, key=line.key)
        if at is not None and at in table.rows:
            table.move_cursor(row=table.get_row_index(at), scroll=True)

    def current(self) -> str | None:
        """Key of the row under the cursor."""
        table = self.table
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def action_help(self) -> None:
        """Show the keys of this screen."""
        found: dict[str, str] = {}
        for kind in reversed(type(self).__mro__):
            for binding in kind.__dict__.get("BINDINGS", ()):
                if isinstance(binding, Binding) and binding.show:
                    found[binding.key_display or _KEYS.get(binding.key, binding.key)] = binding.description
        self.app.push_screen(HelpScreen(found.items()))

    def action_search(self) -> None:
        """Show the search field."""
        field = self.query_one("#search", Input)
        field.display = True
        field.focus()

    def action_back(self) -> None:
        """Leave the search, then the screen."""
        field = self.query_one("#search", Input)
        if field.display:
            field.value = ""
            field.display = False
            self.fill(self.lines)
            self.table.focus()
        elif len(self.app.screen_stack) > 2:  # the first is the app's own, empty screen
            self.app.pop_screen()

    def action_cursor(self, by: int) -> None:
        """Move the cursor."""
        self.table.move_cursor(row=self.table.cursor_row + by)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the user types."""
        if event.input.id == "search":
            self.fill(self.lines)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Move from the search field to the matches."""
        self.table.focus()
