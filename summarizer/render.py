"""A summary as text: what judges and refiners read."""

from collections.abc import Iterable

from core.sanitize import for_model
from core.text import cut
from summarizer.schema import CheckedClaim, Facts, Summary

_SHORTEST = 40


def render(summary: Summary, max_chars: int) -> str:
    """Render a summary in at most `max_chars` characters; the same summary gives the same text.

    When it is too long, every text in it is cut to the same length, the greatest that fits. Claims that the
    trajectory does not support are marked. Neither the rollout's id nor the model's name appears.
    """
    longest = max_chars
    if len(_full(summary, longest)) > max_chars:
        low, high = _SHORTEST, max_chars
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(_full(summary, middle)) <= max_chars else (low, middle - 1)
        longest = low
    return cut(_full(summary, longest), max_chars)


def _full(summary: Summary, longest: int) -> str:
    def one(text: str) -> str:
        return cut(for_model(text).strip(), longest)

    sections = [
        _facts(summary.facts, longest),
        "What follows is the attempt's own account." if summary.source == "model" else "",
        _line("Problem", one(summary.problem)),
        _list("Hypotheses", (f"[{item.fate}] {one(item.text)}" for item in summary.hypotheses)),
        _list("Decisions", map(one, summary.decisions)),
        _line("Progress", one(summary.progress)),
        _list("Evidence", (_claim(claim, longest) for claim in summary.evidence)),
        _list("Failure modes", map(one, summary.failure_modes)),
        _line("End state", one(summary.end_state)),
        _list("Doubts", map(one, summary.doubts)),
    ]
    return "\n".join(section for section in sections if section)


def _facts(facts: Facts, longest: int) -> str:
    if facts.patch_sha256:
        names = cut(", ".join(map(for_model, facts.files)), longest)
        patch = f"patch: {len(facts.files)} files, +{facts.lines_added} -{facts.lines_removed} lines ({names})"
    else:
        patch = "no patch"
    return f"Facts (measured): ended with {facts.exit} after {facts.steps} steps; {patch}"


def _claim(claim: CheckedClaim, longest: int) -> str:
    command, finding = (cut(" ".join(for_model(text).split()), longest) for text in (claim.command, claim.finding))
    text = f"step {claim.step_id} `{command}` {claim.outcome}: {finding}"
    return text if claim.supported else f"{text} [UNSUPPORTED: {for_model(claim.note)}]"


def _line(title: str, text: str) -> str:
    return f"{title}: {text}" if text else ""


def _list(title: str, items: Iterable[str]) -> str:
    lines = [f"- {item}" for item in items if item.strip()]
    return "\n".join([f"{title}:", *lines]) if lines else ""
