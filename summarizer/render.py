"""Render a summary as the text that judges and refiners read."""

from collections.abc import Iterable

from agents.wording import CONTRADICTED, NO_PATCH, NOT_CONFIRMED, claim_line, ended
from core.sanitize import for_model
from core.text import cut
from summarizer.fitting import largest
from summarizer.schema import CheckedClaim, Facts, Mark, Summary

_SHORTEST = 40
_MARKS: dict[Mark, str] = {"confirmed": "", "contradicted": CONTRADICTED, "unconfirmed": NOT_CONFIRMED}


def render(summary: Summary, max_chars: int) -> str:
    """Render a summary in at most `max_chars` characters; deterministic.

    If it is too long, all of its texts are cut to the same length, the largest that fits. Claims carry their marks.
    Neither the rollout ID nor the model's name appears.
    """
    whole = _full(summary, max_chars)
    if len(whole) <= max_chars:
        return whole
    longest = largest(lambda length: len(_full(summary, length)) <= max_chars, _SHORTEST, max_chars)
    return cut(_full(summary, longest), max_chars)


def render_facts(facts: Facts, max_chars: int) -> str:
    """Render the facts about a rollout as one line."""
    return cut(_facts(facts, max_chars), max_chars)


def _full(summary: Summary, longest: int) -> str:
    def short(text: str) -> str:
        return cut(for_model(text).strip(), longest)

    sections = [
        _facts(summary.facts, longest),
        "What follows is the attempt's own account." if summary.source == "model" else "",
        _line("Problem", short(summary.problem)),
        _list("Hypotheses", (f"[{item.fate}] {short(item.text)}" for item in summary.hypotheses)),
        _list("Decisions", map(short, summary.decisions)),
        _line("Progress", short(summary.progress)),
        _list("Evidence", (_claim(claim, longest) for claim in summary.evidence)),
        _line("End state", short(summary.end_state)),
        _list("Doubts", map(short, summary.doubts)),
    ]
    return "\n".join(section for section in sections if section)


def _facts(facts: Facts, longest: int) -> str:
    patch = NO_PATCH
    if facts.patch_sha256:
        count = len(facts.files)
        names = cut(", ".join(map(for_model, facts.files)), longest)
        lines = f"+{facts.lines_added} -{facts.lines_removed} lines"
        patch = f"patch: {count} file{'' if count == 1 else 's'}, {lines} ({names})"
    return f"Facts (measured): {ended(facts.exit, facts.steps)}; {patch}"


def _claim(claim: CheckedClaim, longest: int) -> str:
    command, finding = (
        " ".join(line.strip() for line in cut(for_model(text), longest).splitlines() if line.strip())
        for text in (claim.command, claim.finding)
    )
    fields = (claim.step_id, claim.tree, command, claim.outcome, finding)
    return claim_line(fields, _MARKS[claim.mark], " ".join(for_model(claim.note).split()))


def _line(title: str, text: str) -> str:
    return f"{title}: {text}" if text else ""


def _list(title: str, items: Iterable[str]) -> str:
    lines = [f"- {item}" for item in items if item.strip()]
    return "\n".join([f"{title}:", *lines]) if lines else ""
