"""Code executed for a judge: what the application offers, and what of it is shown.

This room knows no sandboxes. The application hands a `Probe` to selectors in `Case.probe`; judges that can use one ask
for two things. A script is run on the base and on every contestant, and its output is shown with the votes. An inquiry
is a conversation in a sandbox that holds the contestants' trees under their labels, and ends with a vote.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from core.record import Record
from core.sanitize import for_model
from core.text import cut

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\b\d+(?:\.\d+)? ?(?:s|ms|sec|seconds)\b|/tmp/\S+|\bpid[ =]\d+", re.IGNORECASE)


class Executed(Record):
    """A script that was run on the base and on the contestants of a match.

    Attributes:
        match: the match it was written for.
        script: the shell script.
        base: exit code and output without any change.
        outputs: exit code and output by candidate ID.
    """

    match: str
    script: str
    base: str
    outputs: Mapping[str, str]

    @property
    def tells_apart(self) -> bool:
        """Whether the contestants' outputs differ in more than times and addresses."""
        return len({_VARYING.sub("", text) for text in self.outputs.values()}) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What to examine in a sandbox.

    Attributes:
        match: ID of the match.
        number: number of the inquiry in the match.
        shown: candidate IDs, in presentation order.
        labels: their labels, which name their trees.
        data: JSON text with the problem and the candidates.
        model: the judge's model.
        seed: seed of the conversation.
        ledger: accounts for tokens and sandbox seconds, and enforces limits.
    """

    match: str
    number: int
    shown: tuple[str, ...]
    labels: tuple[str, ...]
    data: str
    model: ChatModel
    seed: int
    ledger: Ledger


class Finding(Record):
    """The result of an inquiry.

    Attributes:
        choice: the label chosen; None if the inquiry ended without a vote.
        reason: the reason, or what went wrong.
        lost: the inquiry could not be held, so that a resumed tournament should try again.
    """

    choice: str | None
    reason: str = ""
    lost: bool = False


class Probe(Protocol):
    """Executes code on candidates; implemented by the application.

    Example:
        >>> import asyncio
        >>> class EqualOutputs:
        ...     def script(self, match_id, contestants):
        ...         return None
        ...     async def run(self, match_id, contestants, script):
        ...         outputs = dict.fromkeys(contestants, "exit code 0")
        ...         return (Executed(match=match_id, script=script, base="exit code 1", outputs=outputs),)
        ...     async def inquire(self, inquiry):
        ...         return Finding(choice=inquiry.labels[0], reason="it alone works")
        >>> (ran,) = asyncio.run(EqualOutputs().run("r0-m0", ("a", "b"), "python3 example.py"))
        >>> ran.tells_apart
        False
    """

    def script(self, match_id: str, contestants: tuple[str, ...]) -> str | None:
        """Return the script that was written for a match of exactly these contestants, if there is one."""
        ...

    async def run(self, match_id: str, contestants: tuple[str, ...], script: str) -> tuple[Executed, ...]:
        """Store a match's script, then run it on the base and on every contestant, each in a fresh sandbox.

        Scripts of earlier matches in which one of the contestants played are run on all of them as well. What was run
        before is not run again.

        Args:
            match_id: ID of the match.
            contestants: its candidate IDs.
            script: the script; empty to run only those of earlier matches.

        Returns:
            The scripts with their outputs; a script is left out if it could not be run on all trees.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
        """
        ...

    async def inquire(self, inquiry: Inquiry) -> Finding:
        """Let the judge's model examine the contestants in a sandbox of its own until it votes.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
        """
        ...


_HEADINGS_CHARS = 60
"""Reserved for the headings of a script and of its output, each."""


def with_scripts(problem: str, ran: Sequence[Executed], chars: int, problem_chars: int) -> str:
    """Append executed scripts to a problem statement, with their output without any change.

    Args:
        problem: the statement.
        ran: the scripts.
        chars: characters per script and per output, if there is room.
        problem_chars: characters of the whole text; the statement is shortened to make room, but keeps half of it.
    """
    if not ran:
        return problem
    chars = max(_HEADINGS_CHARS, min(chars, problem_chars // 2 // (2 * len(ran)) - _HEADINGS_CHARS))
    parts = [
        f"Script {number}, written to tell attempts apart:\n{cut(for_model(one.script), chars)}\n"
        f"Its output without any change:\n{cut(for_model(one.base), chars)}"
        for number, one in enumerate(ran, 1)
    ]
    added = "\n\n".join(parts)
    return f"{cut(problem, problem_chars - len(added) - 2)}\n\n{added}"
