"""The fixed words of records that models are shown, for whoever writes such a record and whoever reads one back."""

import re

EARLIER_ATTEMPTS = "Earlier attempts"
"""Heading of the refinement context."""
NO_PATCH = "no patch"
CONTRADICTED, NOT_CONFIRMED = "CONTRADICTED", "not confirmed"

STEP = re.compile(r"^\[step (?P<id>\d+)\] (?P<tool>[\w-]+)(?: \((?P<ending>[^)\n]*)\))?: ?", re.MULTILINE)
"""How a call begins in a trajectory that is shown as text."""
_ENDED = re.compile(r"ended with (\w+) after (\d+) (?:turn|step)s?")
_CLAIM = re.compile(
    r"^- step (?P<step>\d+), (?P<tree>\w+) tree: `(?P<command>[^\n]*?)` (?P<outcome>passes|reproduces|regresses|shows):"
    rf"(?P<finding>[^\n]*?)(?: \[(?P<mark>{CONTRADICTED}|{NOT_CONFIRMED}): [^\n]*\])?$",
    re.MULTILINE,
)


def step_line(step: int, tool: str, ending: str) -> str:
    """The beginning of a call in a trajectory as text, as `STEP` finds it."""
    return f"[step {step}] {tool} ({ending}): "


def ended(exit_kind: str, steps: int) -> str:
    """How a rollout ended, as `exit_of` reads it."""
    return f"ended with {exit_kind} after {steps} turn{'' if steps == 1 else 's'}"


def exit_of(text: str) -> str:
    """The kind of exit that a record states; empty where it states none."""
    match = _ENDED.search(text)
    return match[1] if match else ""


def claim_line(claim: tuple[int, str, str, str, str], mark: str = "", note: str = "") -> str:
    """One claim of a record, without its bullet.

    Args:
        claim: number of the step, state of the tree, command, outcome and finding, each on one line.
        mark: `CONTRADICTED` or `NOT_CONFIRMED`, with the reason in `note`; empty for a confirmed claim.
    """
    step, tree, command, outcome, finding = claim
    verb = "shows" if outcome == "other" else outcome
    text = f"step {step}, {tree} tree: `{command}` {verb}: {finding}"
    return f"{text} [{mark}: {note}]" if mark else text


def claims_in(text: str) -> list[tuple[str, str, int]]:
    """The claims of a record: outcome, mark (empty for a confirmed one), and where in the text they stand."""
    return [(match["outcome"], match["mark"] or "", match.start()) for match in _CLAIM.finditer(text)]
