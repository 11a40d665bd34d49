"""Progress on standard error while a run goes on, from its event stream only.

`open_display` chooses how: `live` redraws a picture on a terminal, `plain` writes lines, `json` the events
themselves, `quiet` nothing. A display is a context manager and an event listener.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Literal, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from agents.llm.ledger import Usage
from heats import formatting as say
from heats.store.events import Event
from heats.view.live_model import RunView
from heats.view.panels import draw
from heats.view.plain import plain_line

DisplayMode = Literal["auto", "live", "plain", "quiet", "json"]
REFRESHES_PER_SECOND = 4


class Display:
    """Shows nothing; the base of the others, and the `quiet` mode itself. Calling it with an event never raises."""

    def __init__(self, stream: TextIO, ledger: Callable[[], Usage] | None = None) -> None:
        self._stream, self._ledger = stream, ledger
        self._lock = threading.Lock()
        self._gone = False
        self.run = RunView()

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take one event and show it."""
        with self._lock:
            try:
                self.run.apply(event)
                self._show(event)
            except Exception as error:  # a display must never stop a run
                self._write(f"display: event {event.seq} could not be shown ({type(error).__name__})")

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what happened before, such as the events of a resumed run, without showing each."""
        with self._lock:
            for event in events:
                self.run.apply(event)

    def usage(self) -> Usage:
        """What was spent, by the ledger handed in, else by the rollouts that ended."""
        return self._ledger() if self._ledger is not None else self.run.usage

    def _show(self, event: Event) -> None:
        return None

    def _write(self, line: str) -> None:
        if self._gone:
            return
        try:
            self._stream.write(line.encode("utf-8", "replace").decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._gone = True  # whoever read this went away: go on in silence


class PlainDisplay(Display):
    """One line for each event that matters, with the time since the run began."""

    def _show(self, event: Event) -> None:
        text = plain_line(event, self.run)
        if text is not None:
            self._write(f"{say.clock(self.run.now - (self.run.began or 0)):>7}  {text}")
        if event.kind == "run_finished":
            self._write(f"{'':>7}  {say.spent(self.usage())}")


class JsonDisplay(Display):
    """The events' own JSON lines, in ASCII, and with no sequence in them that a CI runner takes for a command."""

    def _show(self, event: Event) -> None:
        line = json.dumps(event.model_dump(exclude_defaults=True), default=str)
        self._write(re.sub("#(?=#)", r"\\u0023", line))


class LiveDisplay(Display):
    """A picture that is redrawn in place, at most four times a second, by a thread of its own."""

    def __init__(self, stream: TextIO, ledger: Callable[[], Usage] | None = None) -> None:
        super().__init__(stream, ledger)
        self.console = Console(file=stream, stderr=True, highlight=False, markup=False, emoji=False)
        self._started = time.monotonic()
        # Standard output is left alone: results go there, and may be read by a program.
        self._live = Live(
            console=self.console,
            get_renderable=self._draw,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> "LiveDisplay":
        self._started = time.monotonic()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._live.stop()
        except OSError:
            return  # the terminal is gone; the run's own result stands

    def _draw(self) -> RenderableType:
        with self._lock:
            try:
                return draw(self.run, self.usage(), time.monotonic() - self._started, self.console.size.height)
            except Exception as error:  # a display must never stop a run
                return Text(f"display: {type(error).__name__}")


def choose_mode(mode: DisplayMode, stream: TextIO, env: Mapping[str, str]) -> Literal["live", "plain", "quiet", "json"]:
    """What `auto` comes to: `live` on a terminal that can be drawn on, `plain` elsewhere and in CI."""
    if mode != "auto":
        return mode
    capable = stream.isatty() and env.get("TERM", "dumb") not in {"", "dumb", "unknown"}
    return "live" if capable and env.get("CI", "").lower() in {"", "0", "false"} else "plain"


def open_display(
    mode: DisplayMode = "auto",
    *,
    ledger: Callable[[], Usage] | None = None,
    stream: TextIO | None = None,
    env: Mapping[str, str] | None = None,
) -> Display:
    """A progress display, to be entered with `with` and given to `EventLog.listen`.

    Args:
        mode: how; `auto` looks at the stream and the environment.
        ledger: what the run has spent so far; without it, what the finished rollouts did.
        stream: standard error unless given.
        env: environment variables, this process's unless given.
    """
    stream = sys.stderr if stream is None else stream
    kinds = {"live": LiveDisplay, "plain": PlainDisplay, "json": JsonDisplay, "quiet": Display}
    return kinds[choose_mode(mode, stream, os.environ if env is None else env)](stream, ledger)
