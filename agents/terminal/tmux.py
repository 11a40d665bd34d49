"""A tmux session in a sandbox: keys in, screen out.

tmux runs inside the sandbox and outlives the commands that control it. Screen content is written by programs there and
is untrusted.
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
"""A key, by its tmux name."""

_TMUX = "tmux -L heats -u"
_TARGET = "-t heats"
_CALL_S = 30.0
_POLL_S = 0.1
_QUIET_POLLS = 3
# Determines whether the shell itself has the terminal by the foreground process group of its tty. The name would not
# do, since a script in the foreground may be a shell too. Sets `$idle`.
_IDLE = f"""
idle() {{
  pid=$({_TMUX} display-message -p {_TARGET} '#{{pane_pid}}') && read -r line <"/proc/$pid/stat" || return 1
  set -- ${{line##*) }}
  [ "$3" = "$6" ] && idle=1 || idle=0
}}
"""
# Ends early only if the shell waits for input again and nothing moves, since a foreground program may still be working.
# The wait must end by itself: the sandbox's timeout would also kill what was started in the terminal meanwhile.
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
{_TMUX} display-message -p {_TARGET} \\
  "#{{alternate_on}} $idle #{{pane_current_command}}\t#{{history_size}} #{{@heats}}" || exit 9
if [ "$({_TMUX} display-message -p {_TARGET} '#{{alternate_on}}')" = 1 ]; then from=0; else from=-; fi
{_TMUX} capture-pane -p {_TARGET} -S "$from"
"""
# Bracketed paste, for programs that requested it: a shell neither completes at tabs nor runs anything early, and an
# editor does not indent. A full-screen program receives a single line as keys, or `:wq` would be inserted as text.
_PASTE = f"""
[ "$({_TMUX} display-message -p {_TARGET} '#{{alternate_on}}')" = 1 ] && [ "$1" = 1 ] && brackets= || brackets=-p
{_TMUX} load-buffer -b heats - && {_TMUX} paste-buffer -d $brackets -b heats {_TARGET}
"""
# The shell reports its last exit code with a random number that marks it as new. Vim enables bracketed paste only under
# certain terminal names, and `screen` is not among them.
_SHELL = """command -v bash >/dev/null 2>&1 && exec bash --rcfile /dev/fd/9 -i 9<<'HEATS_RC'
[ ! -f ~/.bashrc ] || . ~/.bashrc
exec 9<&-
bind 'set enable-bracketed-paste on' 2>/dev/null
export VIMINIT=$'silent! source $VIMRUNTIME/defaults.vim | silent! source ~/.vimrc
set t_BE=\\e[?2004h t_BD=\\e[?2004l t_PS=\\e[200~ t_PE=\\e[201~'
PROMPT_COMMAND='tmux set-option -g @heats "$? $RANDOM$RANDOM" 2>/dev/null'"${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
HEATS_RC
exec sh -i"""
_START_S = 3.0


class TerminalMissing(SandboxStartError):
    """The image has no tmux; the message says what to do."""


@dataclass(frozen=True, slots=True)
class View:
    """The terminal's current content.

    Attributes:
        lines: history and screen, or only the screen while a full-screen program is active.
        full_screen: whether a full-screen program is active.
        running: the foreground program; empty while the shell waits for input.
        exit_code: exit code of the shell's last command; None if the shell does not report it.
        prompt: changes with every shell prompt, which shows whether the exit code is new.
        history: number of lines above the screen.
    """

    lines: tuple[str, ...]
    full_screen: bool = False
    running: str = ""
    exit_code: int | None = None
    prompt: str = ""
    history: int = 0


class Terminal:
    """A tmux session named `heats` with an interactive non-login shell in the working directory."""

    def __init__(self, sandbox: Sandbox, config: TerminalConfig) -> None:
        self._sandbox = sandbox
        self._config = config

    async def start(self) -> None:
        """Start the session.

        Raises:
            TerminalMissing: the image has no tmux.
            SandboxError: the sandbox failed, or tmux did not start.
        """
        config, shell = self._config, shlex.quote(_SHELL)
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
        await self.settle(_START_S, early=True)

    async def press(self, text: str, keys: Sequence[str]) -> None:
        """Send text to the foreground program, then press keys by name.

        A line end at the end of the text is Enter. Text of several lines, and in a shell also a single line, arrives as
        a paste if the program can distinguish pasting from typing.

        Raises:
            SandboxError: the sandbox failed.
        """
        body = text.removesuffix("\n")
        if body:
            # A buffer rather than send-keys, which interprets `;` and has a length limit.
            single = int("\n" not in body)
            await self._run(f"sh -c {shlex.quote(_PASTE)} sh {single}", stdin=body.encode("utf-8", "replace"))
        pressed = (["Enter"] if body != text else []) + list(keys)
        if pressed:
            # A word that ends with `;` would terminate the tmux command.
            words = [f"{key[:-1]}\\;" if key.endswith(";") else key for key in pressed]
            await self._run(f"{_TMUX} send-keys {_TARGET} -- {' '.join(map(shlex.quote, words))}")

    async def settle(self, wait_s: float, *, early: bool) -> None:
        """Wait for the terminal.

        Args:
            wait_s: maximum wait in seconds.
            early: return as soon as the shell waits for input again.

        Raises:
            SandboxError: the sandbox failed.
        """
        polls = max(1, round(wait_s / _POLL_S))
        script = f"sh -c {shlex.quote(_SETTLE)} sh {polls} {int(early)}"
        await self._sandbox.exec(script, timeout=wait_s + 2 * _CALL_S)

    async def look(self) -> View | None:
        """Capture the current content; None if the shell, and the session with it, has ended.

        Raises:
            SandboxError: the sandbox failed.
        """
        result = await self._run(_LOOK)
        if not result.ok:
            return None
        head, *lines = result.stdout.decode("utf-8", "replace").split("\n")
        state, _, shell = head.partition("\t")
        alternate, idle, command = (*state.split(" ", 2), "", "")[:3]
        history, code, prompt = [*shell.split(), "", "", ""][:3]
        while lines and not lines[-1].strip():
            lines.pop()
        return View(
            tuple(line.rstrip() for line in lines),
            alternate == "1",
            "" if idle == "1" else command,
            int(code) if code.isdigit() else None,
            prompt,
            int(history) if history.isdigit() else 0,
        )

    async def _run(self, command: str, stdin: bytes | None = None) -> ExecResult:
        result = await self._sandbox.exec(command, timeout=_CALL_S, stdin=stdin)
        if result.status == "indeterminate":
            raise SandboxLost("the connection broke while the terminal was used")
        return result
