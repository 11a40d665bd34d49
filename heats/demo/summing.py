"""Rule-based summaries: edits tried and tests run, as found in a trajectory's text."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.wording import STEP
from heats.demo.edits import TriedEdits, best_of, patch_text, read_attempts
from heats.demo.judging import objects

_RUN = re.compile(r'^repair (\{"k": "run".*\})$', re.MULTILINE)
_COUNTS = re.compile(r"^.*\b\d+ (?:passed|failed|errors?)\b.*$|^Ran \d+ tests.*$|^OK\b.*$|^FAILED \(.*$", re.MULTILINE)
_TESTS = re.compile(r"\bpytest\b|\bunittest\b|\btests?\b", re.IGNORECASE)
_HELPERS = re.compile(r"repair_run\.py|/tmp/repair-")
ITEM = 560
"""Maximum characters of one list item: slightly less than the summary's schema allows."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call, as it appears in the trajectory's text."""

    step: int
    tool: str
    ending: str
    text: str

    @property
    def command(self) -> str:
        """First line of the command, without changing directory and without parts that only keep the tree clean."""
        first, *rest = self.text.split("\n")
        line = rest[0] if first.startswith("cd ") and rest else first
        return line.removeprefix("export PYTHONDONTWRITEBYTECODE=1; ").strip()


def draft(text: str) -> dict[str, Any]:
    """The fields of a summary draft, from the text of the request."""
    calls = _calls(text)
    if not calls and (parts := [data for data in objects(text) if "problem" in data]):
        return _merged(parts)
    attempts = [a for line in text.split("\n") if line.startswith("tried ") for a in read_attempts(line) if a.outcome]
    best = best_of(attempts)
    passing = list({a.patch: a for a in attempts if a.outcome and a.outcome.passes}.values())
    return {
        "problem": _problem(text),
        "hypotheses": [*_hypotheses(attempts, best), *_in_vain(attempts)],
        "decisions": [f"chose {a.text}" for a in _first(best)],
        "progress": _progress(attempts, best),
        "evidence": _evidence(calls),
        "end_state": _end_state(calls, best),
        "doubts": _doubts(best, passing),
    }


def _calls(text: str) -> list[Call]:
    places = list(STEP.finditer(text))
    ends = [place.start() for place in places[1:]] + [len(text)]
    return [
        Call(int(place["id"]), place["tool"], place["ending"] or "", text[place.end() : end])
        for place, end in zip(places, ends, strict=True)
    ]


def _first(attempt: TriedEdits | None) -> list[TriedEdits]:
    return [attempt] if attempt else []


def _problem(text: str) -> str:
    match = re.search(r"(?s)^## Task\n(.*?)(?=^## |\Z)", text, re.MULTILINE)
    statement = " ".join((match[1] if match else text[:600]).split())[:500]
    runs = _RUN.findall(text)
    if not runs:
        return statement
    try:
        run = json.loads(runs[0])
    except (ValueError, RecursionError):
        return statement
    names = ", ".join(map(str, run.get("names", [])))[:400]
    return f"{statement} Failing at the start: {run.get('failing')} of {run.get('tests')} tests ({names})."


def _hypotheses(attempts: Sequence[TriedEdits], best: TriedEdits | None) -> list[dict[str, str]]:
    found = []
    if best and best.outcome:
        fate = "confirmed" if best.outcome.passes else "open"
        found.append({"text": f"the fault is where this edit is: {patch_text(best.patch)}", "fate": fate})
    further = [a for a in attempts if a.outcome and a.outcome.further]
    found += [{"text": f"part of the fault is here: {patch_text(a.patch)}", "fate": "open"} for a in further[:3]]
    return [{**item, "text": item["text"][:ITEM]} for item in found]


def _progress(attempts: Sequence[TriedEdits], best: TriedEdits | None) -> str:
    if best is None:
        return f"{len(attempts)} edits tried, none helped."
    others = [a for a in attempts if a.outcome and a.patch != best.patch]
    helped = [a.text for a in others if a.outcome and (a.outcome.helps or a.outcome.further)]
    return "\n".join([best.text, *helped])[:1150]


def _evidence(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Test runs: the first and the last few."""
    claims = []
    tree = "base"
    for call in calls:
        tree = "changed" if "repair_run.py apply" in call.text else tree
        if call.tool != "bash" or _HELPERS.search(call.command) or not _TESTS.search(call.command):
            continue
        if not call.ending.startswith("exit "):
            continue
        counts = _COUNTS.findall(call.text)
        failed = "reproduces" if tree == "base" else "regresses"
        finding = (counts[-1].strip("= ") if counts else call.ending)[:200]
        claim = {"command": call.command[:ITEM], "step_id": call.step, "tree": tree}
        claims.append({**claim, "outcome": "passes" if call.ending == "exit 0" else failed, "finding": finding})
    return claims if len(claims) <= 4 else [claims[0], *claims[-3:]]


def _in_vain(attempts: Sequence[TriedEdits]) -> list[dict[str, str]]:
    """What was tried without success, several per item, in readable notation."""
    lines = list(dict.fromkeys(a.text for a in attempts if a.outcome and not a.outcome.helps and not a.outcome.further))
    items: list[str] = []
    for line in lines:
        if len(line) > ITEM:
            continue
        if items and len(items[-1]) + len(line) + 2 <= ITEM:
            items[-1] += "; " + line
        else:
            items.append(line)
    return [{"text": item, "fate": "refuted"} for item in items]


def _end_state(calls: Sequence[Call], best: TriedEdits | None) -> str:
    applied = any("repair_run.py apply" in call.text for call in calls)
    submitted = any(call.tool == "submit" for call in calls)
    if not applied or best is None or best.outcome is None:
        state = "no edit is left in the tree" if submitted else "unfinished; the last commands were still trying edits"
        return state + "; the failing tests still fail"
    state = "all tests pass" if best.outcome.passes else f"still failing {best.outcome.left} of {best.outcome.total}"
    return f"{'submitted' if submitted else 'not submitted'} with {patch_text(best.patch)}; {state}"[:1150]


def _doubts(best: TriedEdits | None, passing: Sequence[TriedEdits]) -> list[str]:
    doubts = []
    if best and best.outcome and best.outcome.passes:
        doubts.append("the edit was found by trying; only the visible tests speak for it")
    others = [attempt.text for attempt in passing if best and attempt.patch != best.patch]
    if others:
        doubts.append(("other edits pass as well: " + "; ".join(others))[:ITEM])
    return doubts


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several drafts merged into one: lists joined, the end state taken from the last."""
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, list):
                merged[name] = [*merged.get(name, []), *value]
            elif name != "problem" or name not in merged:
                merged[name] = value
    return merged
