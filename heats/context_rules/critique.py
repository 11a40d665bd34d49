"""The context rule `critique`: the best patch with a numbered list of what speaks against it."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice, Earlier
from heats.context_rules.wording import alike
from summarizer.change import render_change

_DEFECT_CHARS = 600
_CHANGE_CHARS = 6000
_SAME = 0.6


class Critique:
    """All rollouts start from the best change and read its defects, to settle them one by one.

    Defects are reasons of judges and verifiers against it, claims that its trajectory contradicts, and its own doubts.
    Sources: arXiv:2502.04728; Solve-Detect-Verify, arXiv:2505.11966.
    """

    reads_summaries = True

    class Options(Config):
        """Settings.

        Attributes:
            start: `patch` applies the change before the first turn; `text` only shows it.
            most: maximum number of defects.
        """

        start: Literal["patch", "text"] = "patch"
        most: int = Field(10, ge=1)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        best = next((one for one in before.changes if one in before.attempts), None)
        if best is None:
            return Choice()
        text = self._account(before.attempts[best])
        start = best if self.options.start == "patch" else ""
        return Choice(parents=(best,), texts=(text,), start=start, role="critique")

    def _account(self, attempt: Earlier) -> str:
        parts = [f"Its change:\n{render_change(attempt.candidate.patch, _CHANGE_CHARS)}"]
        if attempt.candidate.evidence:
            parts.append(f"Measured:\n{attempt.candidate.evidence}")
        defects: list[str] = []
        for text in map(_line, _defects(attempt)):
            if not any(alike(text, known, _SAME) for known in defects):
                defects.append(text)
        lines = [f"{number}. {text}" for number, text in enumerate(defects[: self.options.most], start=1)]
        parts.append("\n".join(["Said against it:", *lines]) if lines else "Nothing was said against it.")
        return "\n\n".join(parts)


def _defects(attempt: Earlier) -> Iterator[str]:
    yield from attempt.against
    if attempt.summary is None:
        return
    for claim in attempt.summary.evidence:
        if claim.mark == "contradicted":
            yield f"It claims that `{claim.command}` {claim.outcome}, but its trajectory shows otherwise: {claim.note}"
    for doubt in attempt.summary.doubts:
        yield f"Its own doubt: {doubt}"


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _DEFECT_CHARS else f"{text[: _DEFECT_CHARS - 3]}..."
