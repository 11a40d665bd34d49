"""Analyze a shell command line: which of its commands run something, and on which state of the tree.

This is not a shell. It knows quotes, here-documents, operators, pipes, and a list of programs that only print existing
content. Anything it does not understand counts as a program that may do anything.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Kind = Literal["tests", "program", "reader", "plumbing"]
Tree = Literal["current", "base", "edited", "elsewhere"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HEREDOC = re.compile(r"<<(-?)\s*(['\"]?)([A-Za-z_]\w*)\2")
_OPERATOR = re.compile(r"\|\||&&|\|&|;;|[;\n|&()]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_RESERVED = frozenset(
    {"if", "then", "else", "elif", "fi", "do", "done", "while", "until", "for", "!", "{", "}", "time"}
)
_LOOPS = frozenset({"for", "while", "until", "xargs", "parallel"})
_READERS = _words(
    "cat head tail less more sed awk grep egrep fgrep rg ag ack find ls wc diff cmp nl tree file stat which type"
    " echo printf sort uniq cut tr jq column xxd od strings test [ [[ realpath basename dirname pwd env date git"
    " pip"
)
_PLUMBING = _words(
    "cd pushd popd export set unset source . mkdir rm cp mv touch chmod chown ln tee patch true false : sleep"
    " kill pkill wait trap alias shopt ulimit apt apt-get conda exit return local read stty clear reset"
)
_GIT_CHANGES = _words(
    "add am apply branch checkout cherry-pick clean clone commit fetch init merge mv pull push rebase reset"
    " restore revert rm stash switch tag worktree"
)
_WRITES = re.compile(r"(?<![0-9&>])>>?\s*(?!/dev/|/tmp/|&|\s)\S")
_WRAPPERS = frozenset({"sudo", "nice", "nohup", "command", "exec", "stdbuf", "xvfb-run", "env", "timeout", "unbuffer"})
_RUN_PREFIXES = (("poetry", "run"), ("uv", "run"), ("pipenv", "run"), ("hatch", "run"), ("pdm", "run"), ("npx",))
_TEST_PROGRAMS = _words(
    "pytest py.test tox nox nosetests nose2 trial runtests.py jest mocha vitest ava tap tape ctest rspec phpunit"
    " prove bats green ward stestr"
)
_BUILDERS = _words("make gmake ninja just rake mvn mvnw gradle gradlew npm yarn pnpm bun composer meson bazel")
_TEST_MODULES = frozenset({"pytest", "unittest", "nose", "nose2", "tox", "nox", "doctest", "twisted.trial", "trial"})
_TEST_VERBS = {
    "go": {"test"},
    "cargo": {"test", "nextest", "t"},
    "npm": {"t"},
    "pnpm": {"t"},
    "deno": {"test"},
    "dotnet": {"test"},
    "swift": {"test"},
    "mix": {"test"},
    "stack": {"test"},
    "cabal": {"test"},
    "sbt": {"test"},
    "django-admin": {"test"},
    "manage.py": {"test"},
    "setup.py": {"test"},
    "node": {"--test"},
}
_TEST_SCRIPT = re.compile(r"(?:run|all|unit|check)?[_-]?tests?(?:[_-]all)?(?:\.\w+)?")
_NO_RUN = frozenset({"--version", "--help", "-h", "--collect-only", "--co", "--fixtures", "--listTests"})
_CHECKS = re.compile(
    r"\bpy_compile\b|\bcompileall\b|\b(?:mypy|ruff|flake8|pyright|pylint|tsc|eslint|gcc|g\+\+|clang|rustc|javac)\b"
    r"|\b(?:make|cmake|ninja|mvn|gradlew?|npm run|yarn|pnpm)\b|\bcargo (?:build|check|clippy)\b|\bgo (?:build|vet)\b"
    r"|\bnode --check\b|\bbash -n\b|\bgit apply --check\b"
    r"|\bassert\b|--exit-code\b|(?:^|\s)(?:test|\[|diff|cmp|grep -\w*q)\s"
)


@dataclass(frozen=True, slots=True)
class Simple:
    """One command between operators: unquoted words, text, and the operator after it."""

    words: tuple[str, ...]
    text: str
    operator: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by pipes.

    Attributes:
        place: its index among the pipelines.
        text: the commands as written, joined by ` | `.
        kind: what the most active of its commands does.
        tree: state of the tree it runs on, as far as this command line reveals: `base` after `git stash`, `edited`
            after an edit, `elsewhere` in another checkout.
        hides_exit: whether its exit code belongs to a later command of the pipe than the one that runs something.
        operator: the operator after it.
        looped: whether it may run any number of times.
    """

    place: int
    text: str
    kind: Kind
    tree: Tree
    hides_exit: bool
    operator: str
    looped: bool = False

    @property
    def exit_means_something(self) -> bool:
        """Whether exit code 0 means that a check passed, which it does not for a script that only prints."""
        return self.kind == "tests" or _CHECKS.search(self.text) is not None


def pipelines(command: str) -> tuple[Pipeline, ...]:
    """Parse a command line into pipelines, in order."""
    found: list[Pipeline] = []
    tree: Tree = "current"
    places: list[str] = []
    simples = list(_simples(without_heredocs(command)))
    fails_with_pipe = any("pipefail" in one.words for one in simples)
    looped = False
    for members in _piped(simples):
        looped = looped or any(_LOOPS & set(_raw_words(one)[:1]) or "xargs" in one.words for one in members)
        kinds = [kind_of(one.words) for one in members]
        kind = most_active(kinds)
        last = len(kinds) - 1 - kinds[::-1].index(kind)
        tree = _tree_after(members, tree, places)
        found.append(
            Pipeline(
                place=len(found),
                text=" | ".join(one.text for one in members),
                kind=kind,
                tree=tree,
                hides_exit=last < len(kinds) - 1 and not fails_with_pipe,
                operator=members[-1].operator,
                looped=looped,
            )
        )
        if any("done" in _raw_words(one)[:1] for one in members):
            looped = False
    return tuple(found)


def most_active(kinds: Sequence[Kind]) -> Kind:
    """The kind of several commands together: that of the most active one."""
    order: tuple[Kind, ...] = ("tests", "program", "plumbing")
    return next((kind for kind in order if kind in kinds), "reader")


def without_heredocs(command: str) -> str:
    """Remove the bodies of here-documents from a command line."""
    kept: list[str] = []
    ends: list[str] = []
    for line in command.split("\n"):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        ends = [match[3] for match in _HEREDOC.finditer(line) if "<<<" not in line]
        kept.append(line)
    return "\n".join(kept)


def kind_of(words: Sequence[str]) -> Kind:
    """Classify a simple command: it runs tests, runs a program, prints existing content, or prepares."""
    words = unwrapped(words)
    if not words:
        return "plumbing"
    program = PurePosixPath(words[0]).name
    if program in ("bash", "sh", "dash", "zsh") and len(words) > 2 and re.fullmatch(r"-\w*c", words[1]):
        return most_active([one.kind for one in pipelines(words[2])])
    if program == "git":
        return "plumbing" if len(words) > 1 and words[1] in _GIT_CHANGES else "reader"
    if program in ("pip", "pip3"):
        return "plumbing"
    if program == "sed" and any(re.match(r"-\w*i|--in-place", word) for word in words[1:]):
        return "plumbing"
    if program in _READERS and "/" not in words[0]:
        return "reader"
    if program in _PLUMBING:
        return "plumbing"
    return "tests" if runs_tests(words) else "program"


def runs_tests(words: Sequence[str]) -> bool:
    """Return whether a simple command, without its wrappers, starts a test runner."""
    if _NO_RUN & set(words):
        return False
    programs = [PurePosixPath(word).name for word in words[:3]]
    if programs[0] in _TEST_PROGRAMS or _TEST_SCRIPT.fullmatch(programs[0]):
        return True
    if programs[0] in _BUILDERS and any(re.search("test|check|verify|spec|jest", word) for word in words[1:]):
        return True
    if "-m" in words[:6] and (at := list(words).index("-m")) + 1 < len(words):
        module = words[at + 1]
        return module in _TEST_MODULES or (module == "django" and "test" in words) or module.endswith(".tests")
    if re.match(r"python|pypy|coverage", programs[0]) and any(
        name in _TEST_PROGRAMS or _TEST_SCRIPT.fullmatch(name) for name in programs[1:]
    ):
        return True
    for at, name in enumerate(programs):
        if name in _TEST_VERBS and _TEST_VERBS[name] & set(words[at + 1 : at + 3]):
            return True
    return False


def unwrapped(words: Sequence[str]) -> tuple[str, ...]:
    """Strip assignments and wrappers such as `timeout 60` or `poetry run`, leaving the program and its arguments."""
    rest = [] if words and words[0] == "for" else list(words)
    while rest:
        prefix = next((one for one in _RUN_PREFIXES if tuple(rest[: len(one)]) == one), None)
        if _ASSIGNMENT.match(rest[0]) or rest[0] in _RESERVED or re.match(r"\d*[<>]", rest[0]):
            rest.pop(0)
        elif prefix is not None:
            rest = rest[len(prefix) :]
        elif PurePosixPath(rest[0]).name in _WRAPPERS:
            rest.pop(0)
            while rest and (rest[0].startswith("-") or re.fullmatch(r"\d+(?:\.\d+)?[smhd]?", rest[0])):
                rest.pop(0)
        else:
            break
    return tuple(rest)


def _tree_after(members: Sequence[Simple], tree: Tree, places: list[str]) -> Tree:
    """State of the tree after a pipeline has run."""
    for one in members:
        words = unwrapped(one.words)
        program, verb = (*words, "", "")[:2]
        flags = set(words[2:])
        if program in ("cd", "pushd") and len(words) > 1:
            tree = _tree_in(verb, tree, places)
        elif program == "git" and verb == "stash":
            action = words[2] if len(words) > 2 else "push"
            tree = "current" if action in ("pop", "apply") else tree if action in ("list", "show", "drop") else "base"
        elif program in ("git", "patch") and {"-R", "--reverse"} & {verb, *flags}:
            tree = "base"
        elif program == "git" and verb in ("checkout", "restore", "reset", "revert") and "-b" not in flags:
            tree = "base" if tree != "base" else "current"
        elif (program == "git" and verb in ("apply", "am")) or program == "patch":
            tree = "current" if tree == "base" else "edited"
        elif program in ("cp", "mv") and tree == "base":
            tree = "current"
        elif _edits(one):
            tree = "edited"
    return tree


def _tree_in(place: str, tree: Tree, places: list[str]) -> Tree:
    """State of the tree after a change of directory: `elsewhere` in another checkout, unchanged below the first."""
    if not place.startswith("/"):
        return "current" if tree == "elsewhere" and place == "-" else tree
    places.append(place)
    if place.startswith(places[0]) or places[0].startswith(place):
        return "current" if tree == "elsewhere" else tree
    return "elsewhere"


def _edits(one: Simple) -> bool:
    words = unwrapped(one.words)
    program = words[0] if words else ""
    if program == "sed":
        return kind_of(words) == "plumbing"
    return _WRITES.search(one.text) is not None and kind_of(words) in ("reader", "plumbing")


def _piped(simples: Sequence[Simple]) -> Iterator[list[Simple]]:
    members: list[Simple] = []
    for one in simples:
        members.append(one)
        if one.operator not in ("|", "|&"):
            yield members
            members = []
    if members:
        yield members


def _raw_words(one: Simple) -> tuple[str, ...]:
    return tuple(one.text.split())


def _simples(text: str) -> Iterator[Simple]:
    """Split at operators outside quotes, substitutions and redirections."""
    start = at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
        elif char in "'\"`":
            at = _end_of_quote(text, at)
        elif text.startswith(("$(", "<(", ">("), at):
            at = _end_of_brackets(text, at + 1)
        elif text.startswith((">&", "<&", "&>"), at):
            at += 2
        elif char == "#" and (at == 0 or text[at - 1] in " \t\n;"):
            end = text.find("\n", at)
            text = text[:at] + (text[end:] if end >= 0 else "")
        elif operator := _OPERATOR.match(text, at):
            yield from _simple(text[start:at], operator[0])
            start = at = operator.end()
        else:
            at += 1
    yield from _simple(text[start:], "")


def _simple(text: str, operator: str) -> Iterator[Simple]:
    text = text.replace("\\\n", " ").strip()
    if not text:
        return
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    yield Simple(tuple(words), text, operator)


def _end_of_quote(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" and quote != "'" else 1
    return at + 1


def _end_of_brackets(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] in "'\"":
            at = _end_of_quote(text, at)
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if depth == 0:
            break
    return at
