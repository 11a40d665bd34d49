"""Rule-based notes for a bank: the slips that passing edits corrected."""

from typing import Any

from heats.demo.edits import best_of, read_attempts, slip_of, slip_text

_MOST = 3


def operations(text: str) -> dict[str, Any]:
    """Changes to a bank, from the text of a writer's request: one entry per slip of the best passing edit.

    A slip is worth a note whatever its place, because the same author tends to repeat it.
    """
    best = best_of(read_attempts(text))
    if best is None or best.outcome is None or not best.outcome.passes:
        return {"operations": []}
    slips = dict.fromkeys(slip for edit in best.patch if (slip := slip_of(edit)) is not None)
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
