"""The distinct patches of a task: who made each, and how it fared."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from heats.report.diffs import DiffView, colour_diff, diff_view
from heats.store.reader import Basis, RolloutFacts, TaskFacts

MAX_PATCH = 120_000


@dataclass(slots=True)
class PatchView:
    """A distinct patch, made by one or more rollouts.

    Attributes:
        letter: `A`, `B` ... in order of appearance.
        makers: ids of the rollouts that made it.
        passed: success of the makers, if known.
    """

    anchor: str
    letter: str
    sha256: str
    diff: DiffView
    makers: list[str] = field(default_factory=list)
    verdict: str = ""
    passed: bool | None = None
    selected: bool = False

    @property
    def files(self) -> str:
        """Names of the files it changes."""
        return ", ".join(file.name for file in self.diff.files)


def read_patches(place: str, task: TaskFacts, basis: Basis, colours: int) -> dict[str, PatchView]:
    """The patches of a task by digest: the selected one first, then in rollout order.

    Args:
        place: prefix of the task's addresses.
        task: the task's records.
        basis: the definition of success used.
        colours: number of characters of source to colour, starting with the first patches.
    """
    found: dict[str, PatchView] = {}
    for one in _selected_first(task):
        if one.outcome is None or not one.outcome.patch_sha256:
            continue
        sha256 = one.outcome.patch_sha256
        if sha256 not in found:
            data = task.store.rollout(one.id).patch().data
            anchor = f"{place}/patch-{letter(len(found))}"
            found[sha256] = PatchView(anchor, letter(len(found)), sha256, diff_view(data, MAX_PATCH))
        _tell(found[sha256], one, task, basis)
    for view in found.values():
        view.makers.sort()
        colours -= view.diff.size
        if colours >= 0:
            colour_diff(view.diff)
    return found


def _tell(view: PatchView, one: RolloutFacts, task: TaskFacts, basis: Basis) -> None:
    view.makers.append(one.id)
    view.selected = view.selected or one.id == task.selected
    view.verdict = view.verdict or (one.evidence.verdict if one.evidence is not None else "")
    if view.passed is None and not one.infrastructure_failed:
        view.passed = one.passed(basis)


def _selected_first(task: TaskFacts) -> Iterable[RolloutFacts]:
    return sorted(task.rollouts(), key=lambda one: one.id != task.selected)


def letter(place: int) -> str:
    """`A` to `Z`, then `AA` ..."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
