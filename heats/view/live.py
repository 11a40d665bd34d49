"""Progress on standard error during a run, based on its event stream only.

`open_display` selects the mode: `live` redraws a picture on a terminal, `plain` writes lines, `json` the events
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
from heats.store.events import RunEvent
from heats.view.live_model import RunView
from heats.view.panels import draw
from heats.view.plain import plain_line, standing

DisplayMode = Literal["auto", "live", "plain", "quiet", "json"]
REFRESHES_PER_SECOND = 4
SILENCE_S = 14.0
"""Seconds of silence after which a log looks like a program that hangs."""


class Display:
    """Shows nothing: the base of the others, and the `quiet` mode itself. Calling it with an event never raises."""

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

    def __call__(self, event: RunEvent) -> None:
        """Take one event and show it."""
        with self._lock:
            try:
                self.run.apply(event)
                self._show(event)
            except Exception as error:  # a display must never stop a run
                self._write(f"display: event {event.seq} could not be shown ({type(error).__name__})")

    def replay(self, events: Iterable[RunEvent]) -> None:
        """Apply earlier events, such as those of a resumed run, without showing them."""
        with self._lock:
            for event in events:
                self.run.apply(event)

    def usage(self) -> Usage:
        """Usage so far, from the ledger if there is one, else from the finished rollouts."""
        return self._ledger() if self._ledger is not None else self.run.usage

    def _show(self, event: RunEvent) -> None:
        return None

    def _write(self, line: str) -> None:
        if self._gone:
            return
        try:
            self._stream.write(line.encode("utf-8", "replace").decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._gone = True  # whoever read this has gone: continue silently


class SilenceBreaker:
    """Calls a function after each period of silence, from a separate thread.

    Args:
        break_silence: called without arguments; it prints something.
        every_s: seconds of silence after which it is called.
    """

    def __init__(self, break_silence: Callable[[], None], every_s: float = SILENCE_S) -> None:
        self._break, self._every_s = break_silence, every_s
        self._said, self._over = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "SilenceBreaker":
        self.said()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def said(self) -> None:
        """Note that something was printed just now."""
        self._said = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(min(0.5, self._every_s / 2)):
            if time.monotonic() - self._said >= self._every_s:
                self.said()
                self._break()


class PlainDisplay(Display):
    """Prints a line for each important event, with the time since the start, and one after a period of silence.

    Args:
        stream: where lines go.
        ledger: returns the usage so far.
        every_s: seconds of silence after which a line says where the run stands.
    """

    def __init__(self, stream: TextIO, ledger: Callable[[], Usage] | None = None, every_s: float = SILENCE_S) -> None:
        super().__init__(stream, ledger)
        self._opened = time.monotonic()
        self._silence = SilenceBreaker(self._stand, every_s)

    def __enter__(self) -> "PlainDisplay":
        self._opened = time.monotonic()
        self._silence.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._silence.__exit__(kind, error, trace)

    def _show(self, event: RunEvent) -> None:
        text = plain_line(event, self.run)
        if text is not None:
            self._say(self.run.now - (self.run.began or 0), text)
        if event.kind == "run_finished":
            self._write(f"{'':>7}  {say.spent(self.usage())}")

    def _say(self, elapsed: float, text: str) -> None:
        self._silence.said()
        self._write(f"{say.clock(elapsed):>7}  {text}")

    def _stand(self) -> None:
        with self._lock:
            began = self.run.began
            elapsed = time.time() - began if began is not None else time.monotonic() - self._opened
            self._say(elapsed, f"{standing(self.run)}; {say.spent(self.usage())}")


class JsonDisplay(Display):
    """Prints the events' own JSON lines, in ASCII, without sequences that a CI runner would take for commands."""

    def _show(self, event: RunEvent) -> None:
        line = json.dumps(event.model_dump(exclude_defaults=True), default=str)
        self._write(re.sub("#(?=#)", r"\\u0023", line))


class LiveDisplay(Display):
    """A picture redrawn in place by a separate thread, at most four times a second."""

    def __init__(self, stream: TextIO, ledger: Callable[[], Usage] | None = None) -> None:
        super().__init__(stream, ledger)
        self.console = Console(file=stream, stderr=True, highlight=False, markup=False, emoji=False)
        self._started = time.monotonic()
        # Leave standard output alone: results go there, and a program may read them.
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
    """Resolve `auto`: `live` on a capable terminal, `plain` elsewhere and in CI.

    Args:
        mode: the requested mode.
        stream: where the display goes.
        env: environment variables.
    """
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
    """Create a progress display, to be entered with `with` and passed to `EventLog.listen`.

    Args:
        mode: the mode; `auto` depends on the stream and the environment.
        ledger: returns the usage so far; defaults to that of the finished rollouts.
        stream: where the display goes; defaults to standard error.
        env: environment variables; defaults to this process's.
    """
    stream = sys.stderr if stream is None else stream
    kinds: Mapping[str, type[Display]] = {
        "live": LiveDisplay,
        "plain": PlainDisplay,
        "json": JsonDisplay,
        "quiet": Display,
    }
    return kinds[choose_mode(mode, stream, os.environ if env is None else env)](stream, ledger)
