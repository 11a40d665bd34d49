"""Fixed phrases in records shown to models, shared by the code that writes and the code that parses them."""

import re

EARLIER_ATTEMPTS = "Earlier attempts"
"""Heading of the refinement context."""
NOTES = "Notes from earlier work"
"""Heading of what a bank contributes."""
NO_PATCH = "no patch"
CONTRADICTED, NOT_CONFIRMED = "CONTRADICTED", "not confirmed"

STEP = re.compile(r"^\[step (?P<id>\d+)\] (?P<tool>[\w-]+)(?: \((?P<ending>[^)\n]*)\))?: ?", re.MULTILINE)
"""How a call starts in a trajectory rendered as text."""
_ENDED = re.compile(r"ended with (\w+) after (\d+) (?:turn|step)s?")
_CLAIM = re.compile(
    r"^- step (?P<step>\d+), (?P<tree>\w+) tree: `(?P<command>[^\n]*?)` (?P<outcome>passes|reproduces|regresses|shows):"
    rf"(?P<finding>[^\n]*?)(?: \[(?P<mark>{CONTRADICTED}|{NOT_CONFIRMED}): [^\n]*\])?$",
    re.MULTILINE,
)


def step_line(step: int, tool: str, ending: str) -> str:
    """Format the start of a call in a trajectory rendered as text, as matched by `STEP`.

    Args:
        step: number of the step.
        tool: name of the tool.
        ending: how the call ended, such as `exit 1`.
    """
    return f"[step {step}] {tool} ({ending}): "


def ended(exit_kind: str, steps: int) -> str:
    """Format how a rollout ended, as parsed by `exit_of`."""
    return f"ended with {exit_kind} after {steps} turn{'' if steps == 1 else 's'}"


def exit_of(text: str) -> str:
    """Parse the exit kind stated in a record; empty if there is none."""
    match = _ENDED.search(text)
    return match[1] if match else ""


def claim_line(claim: tuple[int, str, str, str, str], mark: str = "", note: str = "") -> str:
    """Format one claim of a record, without its bullet.

    Args:
        claim: step number, tree state, command, outcome and finding, each on one line.
        mark: `CONTRADICTED` or `NOT_CONFIRMED`; empty for a confirmed claim.
        note: reason for the mark.
    """
    step, tree, command, outcome, finding = claim
    verb = "shows" if outcome == "other" else outcome
    text = f"step {step}, {tree} tree: `{command}` {verb}: {finding}"
    return f"{text} [{mark}: {note}]" if mark else text


def claims_in(text: str) -> list[tuple[str, str, int]]:
    """Parse the claims of a record into outcome, mark (empty if confirmed), and position in the text."""
    return [(match["outcome"], match["mark"] or "", match.start()) for match in _CLAIM.finditer(text)]
