"""What a context rule gets and what it answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from summarizer.schema import Summary
from tournament.base import Bracket, Candidate


@dataclass(frozen=True, slots=True)
class Turn:
    """One model turn of an attempt.

    Attributes:
        files: files that commands up to this turn, and in it, named.
        edits: whether its commands seem to change a source file that the attempt's patch changes.
        thought: characters of text and reasoning.
    """

    files: frozenset[str] = frozenset()
    edits: bool = False
    thought: int = 0


@dataclass(frozen=True, slots=True)
class Earlier:
    """One attempt of the heat before, as it is stored.

    Attributes:
        candidate: what judges may see of it: its patch, its evidence in words, its evidence class.
        summary: its summary; None unless the rule sets `reads_summaries`.
        passing: share of the user's tests that pass with its change, from 0 to 1; None if they did not run.
        against: reasons that judges and verifiers gave against it.
        turns: its model turns, without the one that ended it; empty unless the rule sets `branches`, or if no rollout
            can branch off it.
        paused: whether it ended because its slice was used up, so that others may continue it.
        value: how far it got, from 0 to 1: by what was executed first, then by its place in its heat's tournament.
        parents: ids of the rollouts that it was shown; of a branch, the one that it branched off.
        copied: how many of its turns it took over from that one.
    """

    candidate: Candidate
    summary: Summary | None = None
    passing: float | None = None
    against: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    paused: bool = False
    value: float = 0.0
    parents: tuple[str, ...] = ()
    copied: int = 0


@dataclass(frozen=True, slots=True)
class Before:
    """What a context rule chooses from: a read-only view of the heat before.

    Attributes:
        bracket: the tournament of the heat before.
        usable: ids of that heat's rollouts that did something, best first.
        predecessor: id of the rollout with the same number in that heat.
        k: K, the number of attempts to choose if the rule has no other.
        seed: seed for random choices of this rollout; the same when a resumed run plans the heat again.
        heat_seed: likewise, but the same for all rollouts of the heat.
        heat: number of the heat that is planned.
        index: number of the rollout in it.
        fresh: whether the rollout is one of `refine.fresh_share`.
        attempts: the candidates of the heat before, by id.
        lost: why each rollout of the heat before was not kept, one line each, by id.
        older: the candidates of the heats before that one, by id; empty unless the rule sets `looks_back`.
        heats: number of heats, T.
        rollouts: number of rollouts in each, N.
    """

    bracket: Bracket
    usable: tuple[str, ...]
    predecessor: str
    k: int
    seed: int
    heat_seed: int = 0
    heat: int = 1
    index: int = 0
    fresh: bool = False
    attempts: Mapping[str, Earlier] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    older: Mapping[str, Earlier] = field(default_factory=dict)
    heats: int = 1
    rollouts: int = 1

    @property
    def kept(self) -> list[str]:
        """Ids of the K attempts that the tournament kept, best first."""
        return [one for one in self.bracket.selected if one in self.usable]

    @property
    def changes(self) -> list[str]:
        """Ids of the attempts to learn from, best first: those with something to submit, each change once."""
        return self.distinct(one for one in self.usable if one not in self.bracket.ineligible)

    def distinct(self, names: Iterable[str]) -> list[str]:
        """The first of these attempts with each change, in the given order."""
        first: dict[str, str] = {}
        for name in names:
            attempt = self.attempts.get(name)
            first.setdefault((attempt.candidate.patch_key if attempt else "") or name, name)
        return list(first.values())


@dataclass(frozen=True, slots=True)
class Choice:
    """What one rollout of a later heat is shown.

    Attributes:
        parents: ids of rollouts of the heat before, in the order to show them. Ids without a candidate are dropped, and
            so are further copies of the same change. Their changes become `attempt-1.diff` ... in the sandbox.
        texts: shown in place of the parents' records; None for the records.
        start: id of the attempt whose change is applied before the first turn, which makes it a parent; empty for the
            untouched tree. The patch that comes out is against the base all the same.
        turns: branch off `start` instead of applying its change: so many of its turns, conversation and commands, are
            repeated, and the rollout goes on from there. If a command ends differently this time, the rollout starts
            over with the records of `parents`. 0 does not branch.
        role: what to make of all this: a sentence, or the name of one in `refine.roles`. Empty for the usual one.
    """

    parents: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    start: str = ""
    role: str = ""
    turns: int = 0


class ParentsRule(Protocol):
    """The simple form of a context rule: it only chooses which attempts a rollout reads.

    Example:
        >>> class Best:
        ...     def parents(self, before: Before) -> Sequence[str]:
        ...         return before.usable[:1]
    """

    def parents(self, before: Before) -> Sequence[str]:
        """Return ids of rollouts of the heat before, in the order to show them.

        Must be pure: a resumed run calls it again and expects the same ids. Ids without a candidate are dropped, and so
        are further copies of the same change.
        """
        ...


class ContextRule(Protocol):
    """Decides what one rollout of a later heat is shown of the heat before.

    A rule may set class attributes: `reads_summaries = True` has every attempt summarized before it is called,
    `tells_fresh = True` calls it for fresh rollouts too (`Before.fresh`), which otherwise are shown nothing,
    `branches = True` reads the attempts' turns, `looks_back = True` reads the heats before the last one too
    (`Before.older`), and `slice_turns` pauses rollouts of every heat but the last after so many turns of their own.

    Example:
        >>> class FromBest:
        ...     def choose(self, before: Before) -> Choice:
        ...         best = before.usable[0]
        ...         return Choice(parents=(best,), start=best, role="Make this change smaller.")
    """

    def choose(self, before: Before) -> Choice:
        """Return what the rollout is shown. Must be pure: a resumed run calls it again and expects the same answer."""
        ...


Rule = ParentsRule | ContextRule


def choice_of(rule: Rule, before: Before) -> Choice:
    """What a rule of either form decides for one rollout."""
    if before.fresh and not getattr(rule, "tells_fresh", False):
        return Choice()
    choose: Callable[[Before], Choice] | None = getattr(rule, "choose", None)
    if choose is None:
        simple = cast(ParentsRule, rule)
        return Choice(parents=tuple(simple.parents(before)))
    choice = choose(before)
    parents = tuple(choice.parents)
    if choice.start and choice.start not in parents:
        parents = (choice.start, *parents)
    return replace(choice, parents=parents, texts=None if choice.texts is None else tuple(choice.texts))


def fresh_rollouts(rollouts: int, share: float) -> int:
    """Number of a later heat's rollouts that start fresh: at least one of two or more, unless the share is 0.

    Args:
        rollouts: N, at least 1.
        share: `refine.fresh_share`, from 0 to 1.
    """
    if share <= 0 or (rollouts == 1 and share < 1):
        return 0
    return max(1, int(rollouts * share))
