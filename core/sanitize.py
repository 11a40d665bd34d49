"""Sanitize untrusted text written by agents, tests and models.

One threat table, two profiles. `for_model` prepares text for a language model: hidden characters become visible
escapes, and markers that a chat template or tokenizer would treat as structure are broken with a backslash.
`for_screen` is for terminals, HTML, Markdown and logs: anything that hides or acts is dropped. Text is sanitized where
it is displayed, not where it is produced.

Sources: ECMA-48 (escape sequences), Unicode TR 36 (invisible characters), the chat templates of published models.
"""

import re

from core.text import cut

# Escape sequences are removed with their payload. Payload classes exclude control characters, which keeps matching
# linear on any input; an unterminated sequence loses only its introducer.
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x08\x0a-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS ...
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|\x1b[ -/]+[0-~]"  # character sets and the like
    r"|\x1b[0-Z\\^-~\[\]]?"  # two-character functions, and a lone ESC
)
# Format characters (zero-width, bidirectional, tags), blank-looking fillers, and variation selectors.
_HIDDEN = (
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# C0 and C1 controls, lone surrogates, private use characters, and noncharacters.
_UNPRINTABLE = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"
_LINE_SEPARATOR = "\u2028\u2029"
# Conversation structure: <|im_start|>, <turn|>, <think>, <function=bash>, <invoke ...>, [TOOL_CALLS], <<SYS>> ...
# Some models use the full-width bar instead of `|`.
_WORD = (  # tag names; some are also type names when capitalized: Array<User>, List<S>
    r"think(?:ing)?|tool_(?:calls?|code|results?|responses?|outputs?)|function_(?:calls?|results?|responses?)"
    r"|arg_(?:key|value)|(?:start|end)_of_(?:turn|text|image|audio|role)|begin_of_(?:turn|text)|unused\d+"
    r"|(?-i:thought|reasoning|tools?|functions?|invoke|parameters?|system|developer|assistant|user|human|bos|eos|eot|eom"
    r"|eod|sop|pad|unk|mask|sep|cls|s|SYSTEM|ASSISTANT|USER|HUMAN|BOS|EOS|PAD|UNK|MASK|SEP|CLS)|(?-i:Assistant|Human)"
)
_TAG = rf"(?:[\w.-]{{1,20}}:)?(?:{_WORD})"
_MARKER = re.compile(
    r"<(?=[|｜][^\s<>|｜]{1,80}[|｜]?>|[^\s<>|｜]{1,80}[|｜]>)"
    rf"|<(?=/?{_TAG}(?:[\s=][^<>\n]{{0,200}})?/?>)"
    r"|<(?=<[/\\]?SYS>>)"
    r"|\[(?=/?(?:INST|SYS|SYSTEM_PROMPT|TOOL_CALLS?|TOOL_RESULTS?|TOOL_CONTENT|AVAILABLE_TOOLS|MODEL_SETTINGS|THINK"
    r"|g?MASK|sMASK|IMG|e~)[\]\[])"
    r"|\](?=~!?b[\[\]])",
    re.IGNORECASE,
)

_LINE_END = re.compile("\r\n?")
_ANY_LINE_END = re.compile(f"\r\n?|[{_LINE_SEPARATOR}]")
_DROPPED, _REPLACED = re.compile(f"[{_HIDDEN}]"), re.compile(f"[{_UNPRINTABLE}]")
_ESCAPED = re.compile(f"[{_HIDDEN}{_UNPRINTABLE}{_LINE_SEPARATOR}]")
_SUSPECT = re.compile("[^\t\n -~\u00a0-\u00ac\u00ae-\u024f]")
_CI_START = re.compile(r"^(?=\s*::)", re.MULTILINE)
_CI_ANYWHERE = re.compile(r"##(?=\w*\[)")


def for_model(text: str) -> str:
    r"""Make text safe to show to a language model; idempotent.

    Escape sequences are removed. All other control, invisible, bidirectional and private use characters become
    `\uXXXX`, except tabs and line ends. Chat markers get a backslash after their first character:
    `<\|im_start|>`, `<\think>`, `[\INST]`.
    """
    return for_model_counted(text)[0]


def for_model_counted(text: str) -> tuple[str, int]:
    """Like `for_model`; also returns the number of chat markers broken."""
    if _SUSPECT.search(text):
        text = _ESCAPED.sub(_escape, _LINE_END.sub("\n", _SEQUENCE.sub("", text)))
    return _MARKER.subn(lambda match: match[0] + "\\", text)


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def for_screen(text: str) -> str:
    """Remove everything that could act on a terminal or hide from a reader; idempotent.

    Escape sequences and invisible characters are dropped; other control and private use characters and lone surrogates
    become U+FFFD; every kind of line end becomes a newline. Newlines and tabs are kept.
    """
    if not _SUSPECT.search(text):
        return text
    text = _ANY_LINE_END.sub("\n", _SEQUENCE.sub("", text))
    return _REPLACED.sub("\N{REPLACEMENT CHARACTER}", _DROPPED.sub("", text))


def one_line(text: str, limit: int = 200) -> str:
    """Sanitize text to a single line of at most `limit` characters, with an ellipsis if it was cut."""
    line = " ".join(for_screen(text[: limit * 8]).split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)] + "\u2026"


def excerpt(text: str, limit: int) -> str:
    """Sanitize text to about `limit` characters, replacing the middle with a note of how much was cut."""
    return for_screen(cut(text, limit))


def ci_lines(text: str) -> str:
    """Make text safe for a CI log, so that none of it is read as a runner command; idempotent.

    No line starts with `::`, and `##[`, `##vso[` and similar occur nowhere.
    """
    return _CI_ANYWHERE.sub("## ", _CI_START.sub("| ", for_screen(text)))


def screen_text(data: bytes, limit: int | None = None) -> str:
    """Decode up to `limit` bytes, possibly not UTF-8, and sanitize them for a screen. The cut is not marked."""
    return for_screen((data if limit is None else data[:limit]).decode("utf-8", "replace"))
