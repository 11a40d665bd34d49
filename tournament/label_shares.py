"""How likely a model was to choose each label, read from the log probabilities of its reply's tokens.

The choice is found in the tokens' own text, since a tokenizer may cut a label anywhere, together with the quote before
it or the one behind it. Where labels begin alike, the probabilities of several tokens are multiplied. A label that is
not among the alternatives a server lists gets as much as the least likely of them at most.

Source: reading the distribution over judgements in place of one sample from it, arXiv:2503.03064.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.llm.base import TokenLogprob

_CHOICE = re.compile(r'"choice"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class LabelShares:
    """What the tokens say.

    Attributes:
        shares: probabilities of the labels, in their order; they sum to 1.
        preceded_by: characters that were generated before the chosen label, JSON included.
    """

    shares: tuple[float, ...]
    preceded_by: int


def label_shares(tokens: Sequence[TokenLogprob], labels: Sequence[str]) -> LabelShares | None:
    """Read the probabilities of the labels where the last `"choice": "` of a reply ends.

    Args:
        tokens: of the whole reply, in order.
        labels: those that the model could choose.

    Returns:
        None where the tokens do not hold a choice of a label with alternatives.
    """
    found = list(_CHOICE.finditer("".join(token.token for token in tokens)))
    if not found:
        return None
    start = found[-1].end()
    mass = dict.fromkeys(labels, 0.0)
    reached, left = 1.0, {label: label + '"' for label in labels}
    for token, head in _from(tokens, start):
        typed = token.token[len(head) :]
        if not typed:
            continue
        along = [label for label, rest in left.items() if _fits(typed, rest)]
        if not token.top or not along:
            return None
        listed, unlisted = _alternatives(token, head)
        for label in left:
            if label not in along or len(along) == 1:
                likely = sum(share for text, share in listed.items() if _only(text, label, left))
                mass[label] = reached * (likely or unlisted)
        if len(along) == 1:
            break
        reached *= listed[typed]
        left = {label: left[label].removeprefix(typed) for label in along}
    total = sum(mass.values())
    return LabelShares(tuple(share / total for share in mass.values()), start) if total else None


def _alternatives(token: TokenLogprob, head: str) -> tuple[dict[str, float], float]:
    """Probabilities of what could stand here behind `head`, and the most that anything not listed has."""
    listed = {text: math.exp(value) for text, value in (*token.top, (token.token, token.logprob))}
    unlisted = min(*listed.values(), max(1 - sum(listed.values()), 0.0))
    return {text[len(head) :]: share for text, share in listed.items() if text.startswith(head)}, unlisted


def _from(tokens: Sequence[TokenLogprob], start: int) -> Iterator[tuple[TokenLogprob, str]]:
    """The tokens from the one that holds the character `start`; with each, what of it comes before that."""
    at = 0
    for token in tokens:
        end = at + len(token.token)
        if end > start:
            yield token, token.token[: max(start - at, 0)]
        at = end


def _fits(text: str, rest: str) -> bool:
    """Whether a token can be the next of a label of which `rest` is still to come."""
    return bool(text) and (rest.startswith(text) or text.startswith(rest))


def _only(text: str, label: str, left: dict[str, str]) -> bool:
    """Whether a token leads to this label and to no other."""
    return [other for other, rest in left.items() if _fits(text, rest)] == [label]
