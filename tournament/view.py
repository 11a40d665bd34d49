"""Choose what is shown of a candidate within one budget: its change, measurements, and its own account."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from core.sanitize import for_model
from core.text import cut
from summarizer.change import render_change, render_patch, shared_out
from tournament.base import Candidate
from tournament.config import JudgeConfig
from tournament.strip import strip_comments

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "summary": ("summary",),
        "trajectory": ("trajectory",),
        "patch": ("patch",),
        "summary+evidence": ("summary", "measured"),
        "summary+change+evidence": ("change", "measured", "summary"),
        "probe": ("change", "measured", "summary", "ran"),
    }
)
"""The fields of each view, in display order."""
OPTIONAL = frozenset({"measured", "ran"})
"""Fields that are left out where nothing was executed."""
_NOTES_CHARS = 600
"""Reserved for what replaces the parts of a patch that do not fit."""


def shown_copies(config: JudgeConfig, contestants: Sequence[Candidate]) -> tuple[int, ...]:
    """The copy counts that a judge is shown; votes cast on other counts do not apply. Empty if none are shown."""
    if "measured" not in FIELDS[config.view] or all(one.copies == 1 for one in contestants):
        return ()
    return tuple(one.copies for one in contestants)


def view_of(candidate: Candidate, config: JudgeConfig, budget: int) -> dict[str, str]:
    """Render one candidate.

    Args:
        candidate: the candidate.
        config: view and budgets.
        budget: characters for all fields together.

    Returns:
        Field names mapped to sanitized text; without the `OPTIONAL` ones if they are empty.
    """
    texts = {name: for_model(_field(name, candidate, config, budget)) for name in FIELDS[config.view]}
    texts = {name: text for name, text in texts.items() if text or name not in OPTIONAL}
    shares = shared_out([len(text) for text in texts.values()], budget)
    return {name: cut(text, share) for (name, text), share in zip(texts.items(), shares, strict=True)}


def _field(name: str, candidate: Candidate, config: JudgeConfig, budget: int) -> str:
    match name:
        case "summary":
            return candidate.summary
        case "trajectory":
            return candidate.trajectory
        case "patch" | "change":
            shown = strip_comments(candidate.patch) if config.strip_comments else candidate.patch
            if name == "change":
                return render_change(candidate.patch, min(config.change_chars, budget), shown=shown)
            return render_patch(candidate.patch, max(0, budget - _NOTES_CHARS), shown=shown) or "(no patch)"
        case "measured":
            return measured_of(candidate)
        case "ran":
            return candidate.ran
    raise ValueError(f"a view names the field {name!r}, which does not exist")


def measured_of(candidate: Candidate) -> str:
    """Describe what was executed on a candidate, and how many rollouts made the same change."""
    alike = f"{candidate.copies} attempts made this same change independently." if candidate.copies > 1 else ""
    return "\n".join(text for text in (candidate.evidence, alike) if text)
