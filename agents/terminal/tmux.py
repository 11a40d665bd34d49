"""One tmux session in a sandbox: keys in, the screen out.

tmux runs inside the sandbox and outlives the commands that talk to it. What it shows was written by programs there and
is untrusted text.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from agents.terminal.config import TerminalConfig
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import SandboxLost, SandboxStartError

KEY = re.compile(
    r"(?:[CMS]-){0,3}(?:[!-~]|Enter|Escape|Tab|BTab|Space|BSpace|Up|Down|Left|Right|Home|End|PageUp|PageDown|IC|DC"
    r"|F(?:[1-9]|1[0-2]))\Z"
)
"""A key by its name in tmux."""

_TMUX = "tmux -L heats -u"
_TARGET = "-t heats"
_CALL_S = 30.0
_POLL_S = 0.1
_QUIET_POLLS = 3
# Whether the shell itself has the terminal, by the foreground process group of its tty: a name would not do, since a
# script in the foreground may be a shell, too. Sets `$idle`.
_IDLE = f"""
idle() {{
  pid=$({_TMUX} display-message -p {_TARGET} '#{{pane_pid}}') && read -r line <"/proc/$pid/stat" || return 1
  set -- ${{line##*) }}
  [ "$3" = "$6" ] && idle=1 || idle=0
}}
"""
# It ends early only when the shell waits for input again and nothing moved: a program in the foreground may go on. The
# wait must end by itself: the sandbox's time-out would also kill what was started in the terminal meanwhile.
_STATE = "#{history_size} #{cursor_x} #{cursor_y}"
_SETTLE = f"""{_IDLE}
n=0; same=0; last=; end=$(($(date +%s) + $1 / 10 + 1))
while [ "$n" -lt "$1" ] && [ "$(date +%s)" -le "$end" ]; do
  sleep {_POLL_S}; n=$((n + 1))
  [ "$2" = 1 ] || continue
  idle || exit 0
  now=$({_TMUX} display-message -p {_TARGET} '{_STATE}') || exit 0
  [ "$idle $now" = "1 $last" ] && same=$((same + 1)) || same=0
  last=$now
  [ "$same" -lt {_QUIET_POLLS} ] || exit 0
done
"""
_LOOK = f"""{_IDLE}
idle || exit 9
{_TMUX} display-message -p {_TARGET} "#{{alternate_on}} $idle #{{pane_current_command}}" || exit 9
if [ "$({_TMUX} display-message -p {_TARGET} '#{{alternate_on}}')" = 1 ]; then from=0; else from=-; fi
{_TMUX} capture-pane -p {_TARGET} -S "$from"
"""


class TerminalMissing(SandboxStartError):
    """The image has no tmux; the message says what to do."""


@dataclass(frozen=True, slots=True)
class View:
    """What the terminal shows.

    Attributes:
        lines: the history and the screen, or the screen alone while a full-screen program has it.
        full_screen: whether such a program has it.
        running: the foreground program; empty for a shell.
    """

    lines: tuple[str, ...]
    full_screen: bool = False
    running: str = ""


class Terminal:
    """A tmux session named `heats` with a login-less interactive shell in the working directory."""

    def __init__(self, sandbox: Sandbox, config: TerminalConfig) -> None:
        self._sandbox = sandbox
        self._config = config

    async def start(self) -> None:
        """Start the session.

        Raises:
            TerminalMissing: the image has no tmux.
            SandboxError
        """
        config = self._config
        shell = shlex.quote("exec $(command -v bash || command -v sh) -i")
        result = await self._run(
            "command -v tmux >/dev/null || exit 99; "
            f"env -u BASH_ENV TERM=screen {_TMUX} -f /dev/null start-server "
            f"\\; set-option -g history-limit {config.history} \\; set-option -g status off "
            f"\\; new-session -d -s heats -x {config.columns} -y {config.rows} {shell}"
        )
        if result.exit_code == 99:
            raise TerminalMissing("the image has no tmux, which the terminal agent needs: add it, or use --agent bash")
        if not result.ok:
            raise SandboxStartError(f"tmux could not be started: {result.text().strip()[-200:] or result.status}")

    async def press(self, text: str, keys: Sequence[str]) -> None:
        """Type a text, where a line end is Enter, then press keys by their names.

        Raises:
            SandboxError
        """
        if text:
            # A buffer, not send-keys: that one takes a `;` for its own, and knows a length limit.
            load = f"{_TMUX} load-buffer -b heats - && {_TMUX} paste-buffer -d -b heats {_TARGET}"
            await self._run(load, stdin=text.encode("utf-8", "replace"))
        if keys:
            # A word that ends with a `;` would end the command.
            words = [f"{key[:-1]}\\;" if key.endswith(";") else key for key in keys]
            await self._run(f"{_TMUX} send-keys {_TARGET} -- {' '.join(map(shlex.quote, words))}")

    async def settle(self, wait_s: float, *, early: bool) -> None:
        """Wait.

        Args:
            wait_s: seconds, at most.
            early: do not wait on when the shell waits for input again.

        Raises:
            SandboxError
        """
        polls = max(1, round(wait_s / _POLL_S))
        script = f"sh -c {shlex.quote(_SETTLE)} sh {polls} {int(early)}"
        await self._sandbox.exec(script, timeout=wait_s + 2 * _CALL_S)

    async def look(self) -> View | None:
        """What is shown now; None when the shell has ended, and the session with it.

        Raises:
            SandboxError
        """
        result = await self._run(_LOOK)
        if not result.ok:
            return None
        head, *lines = result.stdout.decode("utf-8", "replace").split("\n")
        alternate, idle, command = (*head.split(" ", 2), "", "")[:3]
        while lines and not lines[-1].strip():
            lines.pop()
        running = "" if idle == "1" else command
        return View(tuple(line.rstrip() for line in lines), alternate == "1", running)

    async def _run(self, command: str, stdin: bytes | None = None) -> ExecResult:
        result = await self._sandbox.exec(command, timeout=_CALL_S, stdin=stdin)
        if result.status == "indeterminate":
            raise SandboxLost("the connection broke while the terminal was used")
        return result


def news(before: View | None, now: View, rows: int) -> tuple[str, bool]:
    """What to show of a look: the lines that came since the last one, or the whole screen where that cannot be told.

    Returns:
        The text, and whether it is the whole screen.
    """
    screen = "\n".join(now.lines[-rows:])
    if before is None or now.full_screen or before.full_screen:
        return screen, True
    # The last line was a prompt or a part of a line, to which something may have been added.
    known = max(0, len(before.lines) - 1)
    if now.lines[:known] != before.lines[:known]:
        return screen, True
    return "\n".join(now.lines[known:]), False
