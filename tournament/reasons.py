"""Collect what a bracket's votes say about each candidate, with names in place of the random labels."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping

from core.record import Record
from tournament.base import Bracket, Decision, Match, Vote

Names = Callable[[str], str]
"""Maps a candidate's ID to its display name."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NUMBERED = re.compile(r"\b(candidate|attempt|option|solution)(\s+#?)([1-9]|[A-H])\b", re.IGNORECASE)
_ORDINAL = re.compile(rf"\b(?:the\s+)?({'|'.join(_ORDINALS)})\s+candidate\b", re.IGNORECASE)


class Reason(Record):
    """The reason for one vote; `choice` is the candidate it named."""

    choice: str
    text: str


class Result(Record):
    """One match from the perspective of one contestant.

    Attributes:
        won: None if no vote could be read and the winner was drawn at random.
        rivals: IDs of the other contestants.
        votes: votes for the candidate; probabilities count fractionally.
        of: votes that could be read.
        reasons: reasons of all votes that state one.
    """

    match: str
    won: bool | None
    rivals: tuple[str, ...]
    decided_by: Decision
    votes: float = 0.0
    of: int = 0
    reasons: tuple[Reason, ...] = ()


def results(bracket: Bracket, names: Names = str) -> dict[str, tuple[Result, ...]]:
    """List the matches of every ranked candidate by round, without byes.

    A candidate represented by another with the same change gets that candidate's results.

    Args:
        bracket: the finished tournament.
        names: display names to use in reasons.
    """
    found: dict[str, list[Result]] = defaultdict(list)
    for match in bracket.matches:
        if match.decided_by != "bye":
            for name in match.contestants:
                found[name].append(_result(match, name, names))
    players = {copy: player for player, copies in bracket.merged.items() for copy in copies}
    return {name: tuple(found[players.get(name, name)]) for name in bracket.ranking}


def tally(match: Match) -> dict[str, float]:
    """Count votes by contestant; probabilities are summed over the orders."""
    count = dict.fromkeys(match.contestants, 0.0)
    for vote in match.votes:
        shares = vote.shares if all(one.shares for one in match.votes) else ()
        weights: Mapping[str, float] = (
            dict(zip(vote.order, shares, strict=True)) if shares else {vote.choice or "": 1.0}
        )
        for name in count:
            count[name] += weights.get(name, 0.0)
    return count


def resolved(vote: Vote, names: Names = str) -> str:
    """Replace labels and positions ("candidate 1") in a vote's reason by names."""
    shown = [names(name) for name in vote.order]
    by_label = {label.upper(): name for label, name in zip(vote.labels, shown, strict=False) if label}

    def numbered(found: re.Match[str]) -> str:
        sign = found[3]
        place = int(sign) - 1 if sign.isdigit() else "ABCDEFGH".find(sign)
        return f"{found[1]}{found[2]}{shown[place]}" if 0 <= place < len(shown) else found[0]

    def ordinal(found: re.Match[str]) -> str:
        place = _ORDINALS.index(found[1].lower())
        return shown[place] if place < len(shown) else found[0]

    text = _ORDINAL.sub(ordinal, _NUMBERED.sub(numbered, vote.reason))
    if not by_label:
        return text
    labels = re.compile(rf"\b(?:{'|'.join(map(re.escape, by_label))})\b", re.IGNORECASE)
    return labels.sub(lambda found: by_label[found[0].upper()], text)


def _result(match: Match, name: str, names: Names) -> Result:
    read = [vote for vote in match.votes if vote.choice is not None]
    return Result(
        match=match.id,
        won=None if match.decided_by == "unheard" else match.winner == name,
        rivals=tuple(one for one in match.contestants if one != name),
        decided_by=match.decided_by,
        votes=tally(match)[name],
        of=len(read),
        reasons=tuple(Reason(choice=vote.choice or "", text=resolved(vote, names)) for vote in read if vote.reason),
    )
