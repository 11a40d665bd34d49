"""Screening of entries: what a note from earlier work has no reason to say.

Entries are written by models that read untrusted text, and banks are shared, so entries are screened when they are
written and again when they are read. No list of phrases finds every injection. What limits the harm of one that is not
found: entries are quoted as material, commands run in a sandbox without a network, and evidence outranks what anyone
says.
"""

import re
from collections.abc import Iterator, Mapping

from core.sanitize import for_model
from heats.bank.entry import Entry
from heats.errors import PatchRefused
from heats.propose.leaks import check_leaks

_PHRASES: Mapping[str, str] = {
    "tells its reader to ignore its instructions": (
        r"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{0,40}"
        r"\b(?:instruct|rule|prompt|above|previous|guideline)"
    ),
    "speaks as the system": (
        r"\b(?:system|developer)\s+(?:prompt|message|instruction)|\bnew instructions?\s*:|\byou are now\b"
    ),
    "tells its reader to submit unseen": (
        r"\bsubmit\b[^.\n]{0,30}\b(?:immediately|at once|right away|without (?:test|run|chang|check))"
    ),
    "speaks to judges": r"\b(?:choose|vote for|prefer|pick|select)\b[^.\n]{0,20}\b(?:candidate|attempt|label)\b",
    "runs code from elsewhere": (
        r"\b(?:curl|wget)\b[^\n]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|\bbase64\s+(?:-d|--decode)\b|\beval\s+[\"'$`]"
    ),
    "names credentials": (
        r"\.ssh/|\bid_(?:rsa|ed25519)\b|\.netrc\b|/etc/shadow|\.aws/credentials|\bprintenv\b"
        r"|(?-i:\b[A-Z]+_(?:API_KEY|TOKEN|SECRET)\b)"
    ),
    "destroys or publishes": r"\brm\s+-[a-z]*r[a-z]*\s+[\"']?(?:/|~|\$HOME)[\"']?(?:\s|$)|\bgit\s+push\b",
    "imitates the marks around quoted material": r"(?m)^\s*(?:begin|end) [0-9a-f]{8,}\s*$",
}
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), reason) for reason, pattern in _PHRASES.items())


def objections(entry: Entry) -> tuple[str, ...]:
    """Why an entry must not be shown to a model; empty if nothing speaks against it."""
    return tuple(dict.fromkeys(_objections(entry)))


def _objections(entry: Entry) -> Iterator[str]:
    text = "\n".join((entry.kind, entry.name, *entry.cues, entry.text, entry.scope.commit))
    if for_model(text) != text:
        yield "holds control characters or chat markup"
    flat = " ".join(text.split())
    for pattern, reason in _COMPILED:
        if pattern.search(text) or pattern.search(flat):
            yield reason
    try:
        check_leaks({"it": text.encode("utf-8", "replace")})
    except PatchRefused:
        yield "holds a secret of this process"
