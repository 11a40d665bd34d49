"""Compute a model's probability for each label from the log probabilities of its reply's tokens.

The choice is located in the tokens' text, because a tokenizer may split a label anywhere, or join it with a quote
before or after it. If labels share a beginning, the probabilities of several tokens are multiplied. A label missing
from the alternatives that the server lists gets at most the probability of the least likely one listed.

Source: using the judgement distribution instead of one sample from it, arXiv:2503.03064.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.llm.base import TokenLogprob

_CHOICE = re.compile(r'"choice"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class LabelShares:
    """Label probabilities read from a reply.

    Attributes:
        shares: probabilities in label order; they sum to 1.
        preceded_by: characters generated before the chosen label, including JSON syntax.
    """

    shares: tuple[float, ...]
    preceded_by: int


def label_shares(tokens: Sequence[TokenLogprob], labels: Sequence[str]) -> LabelShares | None:
    """Read the labels' probabilities right after the last `"choice": "` in a reply.

    Args:
        tokens: all tokens of the reply, in order.
        labels: the labels that the model could choose.

    Returns:
        None if the tokens contain no choice of a label with alternatives.
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
    """Probabilities of the possible continuations of `head`, and an upper bound for any that is not listed."""
    listed = {text: math.exp(value) for text, value in (*token.top, (token.token, token.logprob))}
    unlisted = min(*listed.values(), max(1 - sum(listed.values()), 0.0))
    return {text[len(head) :]: share for text, share in listed.items() if text.startswith(head)}, unlisted


def _from(tokens: Sequence[TokenLogprob], start: int) -> Iterator[tuple[TokenLogprob, str]]:
    """The tokens from the one that contains character `start`, each with its text before that position."""
    at = 0
    for token in tokens:
        end = at + len(token.token)
        if end > start:
            yield token, token.token[: max(start - at, 0)]
        at = end


def _fits(text: str, rest: str) -> bool:
    """Whether a token can continue a label of which `rest` is still missing."""
    return bool(text) and (rest.startswith(text) or text.startswith(rest))


def _only(text: str, label: str, left: dict[str, str]) -> bool:
    """Whether a token leads to this label and no other."""
    return [other for other, rest in left.items() if _fits(text, rest)] == [label]
