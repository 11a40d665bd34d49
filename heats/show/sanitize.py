"""The one sanitiser for everything that an agent, a test or a model can write.

Reports, terminals, Markdown and CI logs get text only through here: sanitised where it is shown, never guessed at
where it is made (reference: ECMA-48 for the escape sequences, Unicode TR 36 for the invisible characters).
"""

import re

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Whole escape sequences vanish with their payload. Payload classes leave out every control character, so that
# matching is linear whatever the text holds, and a sequence that is never ended loses its introducer only.
_SEQUENCES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x08\x0a-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS ...
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|\x1b[ -/]+[0-~]"  # character sets and the like
    r"|\x1b[0-Z\\^-~\[\]]?"  # two-character functions, and a lone ESC
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
# Bidirectional controls, zero-width and invisible characters, tags and the selectors that can smuggle text.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SUSPECT = re.compile("[^\t\n -~\u00a0-\u00ac\u00ae-\u024f]")
_CI_START = re.compile(r"^(?=\s*::)", re.MULTILINE)
_CI_ANYWHERE = re.compile(r"##(?=\w*\[)")


def clean(text: str) -> str:
    """Text without anything that acts on a terminal or hides from a reader.

    Escape sequences and invisible characters are dropped, other control characters and lone surrogates become
    U+FFFD, every kind of line end becomes a newline; newlines and tabs stay. Idempotent.
    """
    if not _SUSPECT.search(text):
        return text
    text = _SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    return _CONTROLS.sub(_REPLACEMENT, text)


def one_line(text: str, limit: int = 200) -> str:
    """Sanitised text on one line of at most `limit` characters, ending in an ellipsis where it was cut."""
    line = " ".join(clean(text[: limit * 8]).split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)] + "\u2026"


def ci_lines(text: str) -> str:
    """Sanitised text for the log of a CI job: none of it can be read as a command to the runner.

    No line starts with `::`, and `##[`, `##vso[` and their like occur nowhere. Idempotent.
    """
    return _CI_ANYWHERE.sub("## ", _CI_START.sub("| ", clean(text)))


def from_bytes(data: bytes, limit: int | None = None) -> str:
    """Sanitised text of bytes that are UTF-8 or not; `limit` in bytes, a cut is not stated here."""
    return clean((data if limit is None else data[:limit]).decode("utf-8", "replace"))


def cut(text: str, limit: int) -> str:
    """Sanitised text of about `limit` characters: head and tail are kept and the cut is stated between them."""
    if len(text) <= limit:
        return clean(text)
    head, tail = limit * 2 // 3, limit // 3
    note = f"[... {len(text) - head - tail:,} characters cut here; the record has them all ...]"
    return f"{clean(text[:head])}\n{note}\n{clean(text[len(text) - tail :])}"
