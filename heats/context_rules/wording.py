"""Comparing and shortening sentences of summaries."""

import re

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def words(text: str) -> frozenset[str]:
    """The different words of a text, in lower case."""
    return frozenset(word.lower() for word in _WORD.findall(text))


def alike(one: str, other: str, least: float) -> bool:
    """Whether two texts share most of their words (Jaccard index of at least `least`)."""
    first, second = words(one), words(other)
    return bool(first & second) and len(first & second) >= least * len(first | second)


def brief(text: str, limit: int) -> str:
    """The first sentence of a text on one line, cut to `limit` characters."""
    line = _SENTENCE_END.split(" ".join(text.split()), maxsplit=1)[0]
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
