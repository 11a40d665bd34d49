"""A headless Chromium, driven over a pipe with its DevTools protocol, using only the standard library."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self


def find_chromium() -> str | None:
    """The browser, if one is installed."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Browser:
    """One page in a headless browser. Collects console messages, exceptions, policy violations and requests."""

    def __init__(self, profile: Path, width: int = 1200, height: int = 900) -> None:
        binary = find_chromium()
        assert binary is not None
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "--no-first-run",
            "about:blank",
        ]

        def put_pipes_at_3_and_4() -> None:
            first, second = os.dup(to_browser), os.dup(from_browser)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [binary, *flags],
            preexec_fn=put_pipes_at_3_and_4,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._next = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session = None
            self.call("Browser.close")
        except (OSError, AssertionError):
            self._process.kill()
        self._process.wait(10)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that arrive meanwhile are kept."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._next:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 1 << 16)
            assert data, "the browser went away"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def open(self, url: str, wait: float = 0.3) -> None:
        """Load a page and let its script run."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 30
        while self.evaluate("document.readyState") != "complete" and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(wait)
        self.evaluate("0")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, event: str) -> None:
        """Wait until the browser reports an event."""
        deadline = time.monotonic() + 30
        while not any(one.get("method") == event for one in self.events) and time.monotonic() < deadline:
            self.call("Log.enable")  # any command works, and even a page between two others answers it
            time.sleep(0.02)

    def click(self, selector: str, place: int = 0) -> None:
        """Click the element that a selector finds, like a person: with the mouse, at its position in the view."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{place}]"
        self.evaluate(f"{found}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
        middle = "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
        box = self.evaluate(f"{middle}({found}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def seen(self, selector: str) -> int:
        """How many elements matching a selector are laid out and visible."""
        found = f"Array.from(document.querySelectorAll({json.dumps(selector)}))"
        return int(self.evaluate(f"{found}.filter((one) => one.checkVisibility()).length"))

    def dark(self, dark: bool = True) -> None:
        """Prefer a dark or a light colour scheme."""
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def resize(self, width: int, height: int) -> None:
        """Change the viewport's size; a narrow one counts as a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def screenshot(self, path: Path) -> Path:
        """The viewport as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path

    def complaints(self) -> list[str]:
        """Everything the browser has complained about since the page was opened."""
        bad = {"Runtime.exceptionThrown", "Audits.issueAdded", "Log.entryAdded", "Runtime.consoleAPICalled"}
        found = [json.dumps(event) for event in self.events if event.get("method") in bad]
        # The browser's reaction to a script that is faster than a person is not a complaint about the page.
        return [text for text in found if "NavigationEntryMarkedSkippable" not in text]

    def requests(self) -> list[str]:
        """Addresses requested since the page was opened, except the page's own file and data: images."""
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith("data:")]
