"""The policy's knowledge: read from the conversation each time; nothing is remembered between calls."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.llm.base import Message
from agents.wording import EARLIER_ATTEMPTS, NOTES
from heats.demo.edits import Slip, TriedEdits, read_attempts, read_slips

_LABELLED = r"(?im)^[ \t>*-]*{label}[ \t*]*:[ \t*]*`{{0,3}}(?P<value>[^\n]*?)`{{0,3}}[ \t*]*$"
_FENCED = r"(?im)^[ \t>*-]*{label}[ \t*]*:[ \t*]*\n+```\w*\n(?P<value>[^\n]+)\n```"
_EARLIER = re.compile(rf"(?im)^#+ *(?:{EARLIER_ATTEMPTS}|{NOTES})\b")
_NOTES = re.compile(rf"(?ims)^#+ *{NOTES}\b.*?^begin (\w+)$(?P<notes>.*?)^end \1$")
_FOLDER = re.compile(r"/tmp/repair-[0-9a-f]{10}\b")  # noqa: S108 - in the sandbox
_STRONG = re.compile(r"`([^`\n]+)`|\b(\w*_\w+|[A-Z][a-z]+[A-Z]\w*|\w+(?=\())")
_QUOTED = re.compile(r"'([^'\n]{1,60})'|\"([^\"\n]{1,60})\"|`([^`\n]{1,60})`")
_COMMON = frozenset(  # words of every task, which name nothing in particular
    [
        "test",
        "tests",
        "command",
        "working",
        "directory",
        "submit",
        "issue",
        "task",
        "file",
        "files",
        "repository",
        "bash",
        "tool",
        "call",
        "calls",
        "when",
        "with",
        "that",
        "this",
        "from",
        "then",
        "than",
        "should",
        "would",
        "could",
        "must",
        "have",
        "does",
        "been",
        "which",
        "what",
        "where",
        "there",
        "their",
        "they",
        "into",
        "also",
        "only",
        "some",
        "error",
        "code",
        "python",
        "project",
        "commands",
        "start",
        "returns",
        "return",
        "value",
        "values",
        "expected",
        "actual",
        "instead",
        "given",
        "line",
        "lines",
        "assert",
        "assertion",
        "assertionerror",
        "raise",
        "raises",
        "none",
        "true",
        "false",
        "self",
        "class",
        "function",
        "method",
        "import",
    ]
)


def text_of(message: Message) -> str:
    """The text of a message, given as one string or in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


@dataclass(frozen=True, slots=True)
class Task:
    """The contents of the first messages.

    Attributes:
        command: the test command; empty if none is given.
        workdir: directory to run commands in; empty if they start there.
        words: identifiers and other words of the issue.
        earlier: patches that earlier attempts report, with their outcomes.
        slips: slips that notes from earlier work name.
    """

    statement: str
    command: str
    workdir: str
    words: tuple[str, ...]
    earlier: tuple[TriedEdits, ...]
    slips: frozenset[Slip] = frozenset()


@dataclass(slots=True)
class Knowledge:
    """The contents of the conversation so far.

    Attributes:
        turns: number of assistant messages.
        run: the recorded run: exit code, tests, names of failing tests.
        failures: texts of failing tests.
        ranking: suspicious units by place, the most suspicious first.
        units: source of the units shown so far, by path and line.
        names: names in scope, by path.
        tried: patches tried in this rollout, in order.
        command: the test command, given or guessed.
        finished: the final edits were requested, or it gave up.
        checks: number of times that patches were tried.
        first_pass: number of the check that first found a passing patch; 0 for none.
        last: text of the last observation.
        folder: the helper folder in use.
        located: the ranking was requested, successfully or not.
        shows: number of times that more code was requested.
        unsettled: number of checks without any outcome.
        remaining: suspicion of lines, by path, based on the tests that the best patch leaves failing.
    """

    task: Task
    turns: int = 0
    run: dict[str, Any] | None = None
    failures: list[str] = field(default_factory=list)
    ranking: list[dict[str, Any]] = field(default_factory=list)
    units: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    names: dict[str, dict[str, Any]] = field(default_factory=dict)
    tried: list[TriedEdits] = field(default_factory=list)
    command: str = ""
    finished: bool = False
    checks: int = 0
    first_pass: int = 0
    last: str = ""
    folder: str = ""
    located: bool = False
    shows: int = 0
    unsettled: int = 0
    remaining: dict[str, dict[int, float]] = field(default_factory=dict)


def labelled(text: str, label: str) -> str:
    """The value of a line such as `Test command: pytest -q`; empty if there is none."""
    for pattern in (_FENCED, _LABELLED):
        match = re.search(pattern.format(label=label), text)
        if match and match["value"].strip():
            return match["value"].strip()
    return ""


def read_task(messages: Sequence[Message]) -> Task:
    """Parse the messages before the first assistant message."""
    users = []
    for message in messages:
        if message.get("role") == "assistant":
            break
        if message.get("role") == "user":
            users.append(text_of(message))
    text = "\n\n".join(users)
    start = _EARLIER.search(text)
    statement = text[: start.start()] if start else text
    notes = _NOTES.search(text)
    reports = text[: notes.start()] + text[notes.end() :] if notes else text
    earlier = [attempt for attempt in read_attempts(reports) if _inside(attempt)]
    return Task(
        statement=statement,
        command=labelled(statement, "test command"),
        workdir=labelled(statement, "working directory"),
        words=tuple(words_of(statement)),
        earlier=tuple(earlier),
        slips=frozenset(read_slips(notes["notes"])) if notes else frozenset(),
    )


def _inside(attempt: TriedEdits) -> bool:
    """Whether all edits are to files below the working directory; others are not worth trying."""
    return not any(edit.path.startswith(("/", "~")) or ".." in edit.path.split("/") for edit in attempt.patch)


def words_of(text: str) -> list[str]:
    """Words that may be names in code: identifiers first, then longer plain words."""
    marked = [group for match in _STRONG.finditer(text) for group in match.groups() if group]
    strong = [word for group in marked for word in re.findall(r"\w+", group)]
    plain = re.findall(r"[A-Za-z_]\w{3,}", text)
    found = dict.fromkeys(word for word in (*strong, *plain) if word.lower() not in _COMMON and not word.isdigit())
    return list(found)[:300]


def quoted_in(text: str) -> list[str]:
    """Quoted texts."""
    return list(dict.fromkeys(group for match in _QUOTED.finditer(text) for group in match.groups() if group))[:40]


def read(messages: Sequence[Message]) -> Knowledge:
    """Read a conversation."""
    known = Knowledge(read_task(messages))
    known.command = known.task.command
    asked: dict[str, str] = {}
    for message in messages:
        if message.get("role") == "assistant":
            known.turns += 1
            asked.update(_calls(message))
            known.folder = known.folder or next(iter(_FOLDER.findall(" ".join(asked.values()))), "")
        elif message.get("role") == "tool":
            verb = _verb(asked.get(str(message.get("tool_call_id")), ""))
            _observe(known, verb, text_of(message))
    return known


def _calls(message: Message) -> Iterator[tuple[str, str]]:
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield str(call.get("id")), str(function.get("arguments", ""))


def _verb(arguments: str) -> str:
    match = re.search(r"repair_run\.py (\w+)", arguments)
    return match[1] if match else "clean" if "rm -rf /tmp/repair-" in arguments else ""


def _observe(known: Knowledge, verb: str, text: str) -> None:
    known.last = text
    known.located |= verb == "locate"
    known.shows += verb == "show"
    known.checks += verb == "check"
    known.finished |= verb in ("apply", "clean")
    before = len(known.tried)
    for line in text.split("\n"):
        if line.startswith("tried "):
            known.tried += [attempt for attempt in read_attempts(line) if attempt.outcome]
        elif line.startswith("repair {"):
            _note(known, line)
    known.unsettled += verb == "check" and len(known.tried) == before
    if not known.first_pass and any(attempt.outcome and attempt.outcome.passes for attempt in known.tried[before:]):
        known.first_pass = known.checks


def _note(known: Knowledge, line: str) -> None:
    """Process one line of the helper script; truncated lines are skipped."""
    try:
        data = json.loads(line.removeprefix("repair "))
    except (ValueError, RecursionError):
        return
    match data:
        case {"k": "run"}:
            known.run = data
        case {"k": "command", "text": str(text)}:
            known.command = known.command or text
        case {"k": "failure", "text": str(text)}:
            known.failures.append(text)
        case {"k": "ranking", "units": list(units)}:
            known.ranking = units
        case {"k": "code", "path": str(path), "line": int(first), "src": str()}:
            known.units[path, first] = data
        case {"k": "remaining", "path": str(path), "hot": dict(hot)}:
            known.remaining[path] = {int(line): score / 100 for line, score in hot.items()}
        case {"k": "names", "path": str(path)}:
            known.names[path] = data
