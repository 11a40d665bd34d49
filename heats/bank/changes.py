"""From proposals to changes of a bank: what is new, what is known already, what is refused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from core.errors import first_problem
from heats.bank.entry import Change, Entry, Scope, Source
from heats.bank.readers import words_of
from heats.bank.screening import objections
from heats.bank.writers import EntryProposal

_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nothing|neither|nor|without|cannot|avoid)\b|n['\u2019]t\b", re.IGNORECASE
)


@dataclass
class Planner:
    """Decides on changes, given the entries of a bank at that moment; a `heats.bank.store.Plan`.

    A writer touches only entries of its own kind and scope, whatever it proposes.

    Attributes:
        source: the task that the proposals rest on.
        similar: Jaccard similarity from which two texts count as the same.
        refused: receives why proposals were refused, one line each.
    """

    proposals: Sequence[EntryProposal]
    kind: str
    scope: Scope
    source: Source
    similar: float
    refused: list[str] = field(default_factory=list)

    def __call__(self, entries: Mapping[str, Entry]) -> list[Change]:
        """Plan the changes."""
        own = {one.id: one for one in entries.values() if (one.kind, one.scope) == (self.kind, self.scope)}
        changes: list[Change] = []
        self.refused.clear()
        for proposal in self.proposals:
            change = self._change(proposal, own)
            if change is None:
                continue
            changes.append(change)
            for gone in (*change.of, *([change.id] if change.op == "drop" else [])):
                own.pop(gone, None)
            if change.entry is not None:
                own[change.entry.id] = change.entry
        return changes

    def _change(self, proposal: EntryProposal, own: Mapping[str, Entry]) -> Change | None:
        target = next((one for one in own.values() if _same(one.name, proposal.name)), None)
        if proposal.op == "drop":
            return Change(op="drop", id=target.id) if target is not None else None
        if not proposal.text.strip():
            self.refused.append(f"{proposal.name}: it says nothing")
            return None
        try:
            fresh = Entry(
                kind=self.kind,
                name=proposal.name,
                cues=proposal.cues,
                text=proposal.text.strip(),
                scope=self.scope,
                sources=(self.source,),
            )
        except ValidationError as error:
            self.refused.append(f"{proposal.name}: {first_problem(error)}")
            return None
        against = objections(fresh)
        if against:
            self.refused.append(f"{proposal.name}: it {'; it '.join(against)}")
            return None
        others = [one for one in own.values() if any(_same(one.name, name) for name in proposal.of)]
        if proposal.op == "merge" and others:
            return _united(fresh, target, others)
        if target is not None:
            return Change(op="modify", id=target.id, entry=_joined(fresh, target))
        alike = next((one for one in own.values() if _alike(one.text, fresh.text, self.similar)), None)
        if alike is not None:  # known under another name: it gains support
            return Change(op="modify", id=alike.id, entry=_joined(alike, fresh))
        return Change(entry=fresh, id=fresh.id)


def _united(fresh: Entry, target: Entry | None, others: Sequence[Entry]) -> Change:
    entry = fresh
    for one in (*([target] if target else []), *others):
        entry = _joined(entry, one)
    gone = tuple(one.id for one in others if one.id != entry.id)
    return Change(op="merge", id=entry.id, entry=entry, of=gone)


def _joined(kept: Entry, other: Entry) -> Entry:
    """An entry with the cues and sources of another as well."""
    cues = tuple(dict.fromkeys((*kept.cues, *other.cues)))[:16]
    return kept.model_copy(update={"cues": cues, "sources": tuple(dict.fromkeys((*other.sources, *kept.sources)))})


def _same(name: str, other: str) -> bool:
    return name.lower().split() == other.lower().split()


def _alike(text: str, other: str, least: float) -> bool:
    """Whether two texts share at least this part of their words (Jaccard) and negate equally often."""
    mine, theirs = set(words_of(text)), set(words_of(other))
    shared = len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0
    return shared >= least and len(_NEGATION.findall(text)) == len(_NEGATION.findall(other))
