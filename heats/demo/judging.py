"""Rule-based judging of candidates: test results weigh most, then how natural the change looks."""

import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agents.wording import CONTRADICTED, NO_PATCH, claims_in, exit_of
from heats.demo.edits import read_attempts

NOISE = 0.6
"""Standard deviation of one vote's error on the scale of `merit`; a passing test run is worth about 3."""

_DECODER = json.JSONDecoder()
_COUNTS = re.compile(r"\b(\d+) failed\b")
_FORCED = re.compile(r'^(pass|True|False|None|""|0)$|^return (None|True|False|0|""|\[\])?$')


def judgement(text: str, properties: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A vote, score or verdict on the candidates in a text.

    Args:
        text: the request's text.
        properties: properties of the requested schema.
        seed: draws this judge's error.

    Returns:
        Values for `reason`, `choice`, `score` and `verdict`.
    """
    rng = random.Random(f"{seed} judgement")
    merits = {label: merit(shown) for label, shown in candidates(text).items()}
    noisy = {label: merits[label] + rng.gauss(0, NOISE) for label in sorted(merits)}
    best = max(noisy, key=lambda label: noisy[label], default="")
    chance = 0.0 if not noisy else 1 / (1 + 2.7 ** -(noisy[best] - 1.5))
    reason = "; ".join(f"{label} scores {merits[label]:.1f}" for label in sorted(merits)) or "there is nothing to judge"
    options = properties.get("choice", {}).get("enum", ())
    return {
        "reason": f"By what was run and came out: {reason}.",
        "choice": best if best in options or not options else options[rng.randrange(len(options))],
        "score": round(10 * chance),
        "verdict": "accept" if chance > 0.5 else "reject",
    }


def candidates(text: str) -> dict[str, str]:
    """Everything that is shown of each candidate, by label."""
    for data in objects(text):
        shown = data.get("candidates", data)
        if isinstance(shown, list):
            entries = [entry for entry in shown if isinstance(entry, dict)]
            return {str(entry.get("label", at)): _flat(entry) for at, entry in enumerate(entries)}
        if isinstance(shown, dict):
            return {str(label): _flat(value) for label, value in shown.items() if label != "problem"}
    return {}


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text."""
    at = text.find("{")
    while at >= 0:
        try:
            data, end = _DECODER.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            if isinstance(data, dict) and data:
                yield data
        at = text.find("{", end)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(_flat(part) for name, part in value.items() if name != "label")
    if isinstance(value, list):
        return "\n".join(map(_flat, value))
    return str(value)


def merit(text: str) -> float:
    """How well a candidate did according to its text; about 4 for a checked fix, below 0 for nothing done."""
    claims = claims_in(text)
    passed = [place for outcome, mark, place in claims if outcome == "passes" and not mark]
    failed = [place for outcome, mark, place in claims if outcome in ("regresses", "reproduces") and not mark]
    contradicted = sum(mark == CONTRADICTED for _, mark, _ in claims)
    score = 2.5 * bool(passed) - min(contradicted, 3)
    if passed and failed and failed[-1] > passed[-1]:
        score -= 2
    score -= 1.5 * (exit_of(text) not in ("", "submitted"))
    score -= 3 * bool(re.search(rf"; {NO_PATCH}\b|^\(no(?:ne| change)\)$", text, re.MULTILINE))
    score += _of_edits(text)
    counts = [int(count) for count in _COUNTS.findall(text)]
    if counts and not passed:
        score -= 1.0 * (counts[-1] > 0)
    return score - 0.15 * min(len(re.findall(r"(?m)^- .*\?$|not checked", text)), 4)


def _of_edits(text: str) -> float:
    """The value of the edits mentioned: the best reported outcome, and whether they look forced."""
    reported = [attempt for attempt in read_attempts(text) if attempt.outcome]
    best = max(
        (
            _worth(attempt.outcome.left, attempt.outcome.total, attempt.outcome.broke)  # type: ignore[union-attr]
            for attempt in reported
        ),
        default=0.0,
    )
    passing = [attempt for attempt in reported if attempt.outcome and attempt.outcome.passes]
    forced = any(_FORCED.match(edit.new.strip()) for attempt in passing[:1] for edit in attempt.patch)
    grown = sum(edit.new.count("\n") for attempt in passing[:1] for edit in attempt.patch)
    return best - 0.8 * forced - 0.1 * min(grown, 5) - 0.2 * (len({attempt.patch for attempt in passing}) > 2)


def _worth(left: int | None, total: int, broke: int) -> float:
    if left is None or not total:
        return 0.0
    return 1.5 * (total - left) / total - (1.0 if broke else 0.0)
