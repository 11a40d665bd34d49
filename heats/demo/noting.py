"""Rule-based notes for a bank: the slips that passing edits corrected."""

from typing import Any

from heats.demo.edits import read_attempts, slip_of, slip_text

_MOST = 3


def operations(text: str) -> dict[str, Any]:
    """Changes to a bank, from the text of a writer's request: one entry per slip that a passing edit corrected.

    A slip is worth a note whatever its place, because the same author tends to repeat it.
    """
    passing = [attempt for attempt in read_attempts(text) if attempt.outcome and attempt.outcome.passes]
    slips = dict.fromkeys(slip for attempt in passing for edit in attempt.patch if (slip := slip_of(edit)) is not None)
    return {"operations": [_noted(slip_text(slip)) for slip in list(slips)[:_MOST]]}


def _noted(slip: str) -> dict[str, Any]:
    text = f"A fault in this repository was corrected by {slip}: try this first where it fits."
    return {
        "op": "add",
        "name": slip[:120],
        "cues": ["fails", "wrong", "expected"],
        "text": text,
        "of": [],
        "commands": [],
    }
