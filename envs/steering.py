"""Trace what a test command runs: the scripts and settings it names, and what these name in turn.

The whole command counts, not just its first word: `cd sub && ./run.sh`, `FOO=1 make -C lib check | tee log`, `bash -c`.
Only the Makefile targets and package.json scripts that the command reaches are followed, since the others mostly build
and start the very source that a fix changes.
"""

import configparser
import json
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envs.conventions import is_code, is_test_file
from envs.treeview import Tree

_MOST_READ = 80
_RUN = r"(?:run\s+|-\S+\s+)*"
_LANGUAGES = (
    r"python[\d.]*|pypy[\d.]*|node|nodejs|deno|bun|ruby|perl|php|bash|sh|zsh|dash|ksh|source|tsx|ts-node|lua|Rscript|"
    r"julia|java|pwsh|escript|elixir|tclsh|coverage|xargs|exec|time|env|\.(?=\s)"
)
_STARTED = re.compile(rf"(?:^|[\s;&|(`'\"/])(?:{_LANGUAGES})[\s\"',\[\]]+{_RUN}[\"']?([\w./@+-]+)", re.M)
_DIRECT = re.compile(r"(?:^|[;&|(`@]|\bdo\b|\bthen\b)\s*(?:\w+=\S*\s+)*([\w.-]*/[\w./-]+)|['\"](\./[\w./-]+)", re.M)
_LOADED = re.compile(
    r"(?:^|\s)(?:-m|-p|-r|-c|-f|-e|-I|--require|--import|--loader|--experimental-loader|--config|--settings|--plugin|"
    r"--plugins|--file|--rcfile|--setup|--configuration|--bootstrap|\w*SETTINGS(?:_MODULE)?)(?:[\s=]+)[\"']?([\w./@:+-]+)"
)
_FOLDER = re.compile(
    r"(?:\bcd|\bpushd|\s-C|\s--directory|\s--prefix|\s--rootdir|\s-s|\s--start-directory|\s--cwd|\s--dir)[\s=]+[\"']?([\w./@+-]+)"
)
_SEARCHED = re.compile(r"\b(?:PYTHONPATH|NODE_PATH|RUBYLIB|PERL5LIB|pythonpath)\s*=\s*[\"']?([\w./@:+ -]+)")
_WORD = re.compile(r"[\w./@+*?\[\]~-]+(?:::[\w:]+)?")
_MAKE = re.compile(r"(?:^|[\s;&|(/])g?make\b(?P<rest>[^;&|\n]*)", re.M)
_NODE = re.compile(r"(?:^|[\s;&|(/])(?:npm|yarn|pnpm|bun)\s(?P<rest>[^;&|\n]*)", re.M)
_PLUGINS = re.compile(r"pytest_plugins\s*(?::[^=]*)?=\s*([^\n]*(?:\n[^\n\])]*)*)")
_RULE = re.compile(r"^([^\s#:=][^:=#\n]*?)[ \t]*::?(?!=)[ \t]*([^\n]*)\n((?:[\t ]+[^\n]*\n|\n)*)", re.M)
_STEERED_BY: Mapping[str, tuple[str, ...]] = {
    "make": ("GNUmakefile", "makefile", "Makefile"),
    "gmake": ("GNUmakefile", "Makefile"),
    "tox": ("tox.ini", "setup.cfg", "pyproject.toml"),
    "nox": ("noxfile.py",),
    "npm": ("package.json",),
    "yarn": ("package.json",),
    "pnpm": ("package.json",),
    "bun": ("package.json",),
    "npx": ("package.json",),
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml"),
    "rake": ("Rakefile", "rakefile", "Rakefile.rb"),
    "invoke": ("tasks.py",),
    "inv": ("tasks.py",),
    "doit": ("dodo.py",),
    "fab": ("fabfile.py",),
    "hatch": ("hatch.toml", "pyproject.toml"),
    "composer": ("composer.json",),
    "deno": ("deno.json", "deno.jsonc"),
}
_PYTEST_FILES = ("pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml")


@dataclass(slots=True)
class Steering:
    """The files found, as paths in the tree.

    Attributes:
        files: scripts and settings other than code: shell scripts, makefiles, data files that a command names.
        programs: code that is started or loaded.
        named: other code that the command itself names, and scripts that other scripts name or whose output they test.
        roots: folders in which Python looks for modules; the empty string is the top.
        patterns: globs for names of test files.
        doctests: the command runs examples in docstrings.
    """

    files: set[str] = field(default_factory=set)
    programs: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=lambda: {""})
    patterns: set[str] = field(default_factory=set)
    doctests: bool = False


async def what_runs(command: str, tree: Tree) -> Steering:
    """Follow a test command through the tree."""
    walk = _Walk(tree)
    await walk.scan(command, "", command=True)
    await walk.settings()
    await walk.drain()
    return walk.found


class _Walk:
    """The queue of texts to scan, and the folders in which commands may run."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.found = tree, Steering()
        self.folders = [""]
        self.waiting: list[tuple[str, str]] = []
        self.read: set[str] = set()
        self.inside = {folder for path in tree.files for folder in _folders(path)}

    async def drain(self) -> None:
        while self.waiting:
            await self.scan(*self.waiting.pop())

    async def scan(self, text: str, folder: str, *, command: bool = False) -> None:
        """Collect everything from a shell command, script or settings file that runs from a folder."""
        self.found.doctests = self.found.doctests or "doctest" in text
        for found in _FOLDER.finditer(" " + text):
            self._enter(found[1], folder)
        for found in _SEARCHED.finditer(text):
            for place in re.split(r"[:\s]+", found[1]):
                self.found.roots.update(self._folders_named(place, folder))
        for pattern in (_STARTED, _LOADED, _DIRECT):
            for found in pattern.finditer(text):
                word = next(filter(None, found.groups()))
                surely = command or not _is_subject(text, found)
                for path in self._files(word, folder) or self._modules(word, folder):
                    await self._start(path, surely=surely)
        words = dict.fromkeys(_WORD.findall(text))
        for word in words:
            await self._word(word, folder, command)
        for program in {word.rpartition("/")[2] for word in words} & _STEERED_BY.keys():
            for name in _STEERED_BY[program]:
                for path in self._files(name, folder):
                    self.found.files.add(path)
        await self._targets(text, folder)

    async def _word(self, word: str, folder: str, command: bool) -> None:
        if "*" in word or "?" in word:
            name = word.rpartition("/")[2]
            if is_code(name) and name.strip("*?.") and not name.startswith("*."):
                self.found.patterns.add(name)
            return
        paths = self._files(word, folder)
        if command and re.fullmatch(r"\w+(?:\.\w+)*", word):
            paths = paths or self._modules(word, folder)
        for path in paths:
            if is_script(path) and not command:
                self.found.named.add(path)
            elif is_script(path) or not is_code(path):
                await self._start(path)
            elif command:
                self.found.named.add(path)

    async def _start(self, path: str, *, surely: bool = True) -> None:
        """Record a file that is run or read, and queue its text."""
        if is_script(path) and not surely:
            self.found.named.add(path)
            return
        (self.found.programs if is_code(path) and not is_script(path) else self.found.files).add(path)
        if path in self.read or len(self.read) >= _MOST_READ:
            return
        self.read.add(path)
        name = path.rpartition("/")[2]
        if (
            is_script(path)
            or path in self.found.programs
            or is_test_file(path)
            or name.lower().endswith((".ini", ".cfg"))
        ):
            text = await self.tree.read(path)
            if not name.endswith((".md", ".rst")):
                self.waiting.append((text, posixpath.dirname(path)))

    async def _targets(self, text: str, folder: str) -> None:
        for found in _MAKE.finditer(text):
            words = [word for word in found["rest"].split() if not word.startswith("-")]
            for path in [path for name in _STEERED_BY["make"] for path in self._files(name, folder)]:
                await self._make(path, words)
        for found in _NODE.finditer(text + "\n"):
            words = [word for word in found["rest"].split() if not word.startswith("-")]
            for path in self._files("package.json", folder):
                await self._scripts(
                    path, {*words, *(f"pre{word}" for word in words), *(f"post{word}" for word in words)}
                )

    async def _make(self, path: str, targets: list[str]) -> None:
        """Queue the recipes that a target reaches, and everything the makefile says outside of rules."""
        if (key := f"{path} {sorted(targets)}") in self.read:
            return
        self.read.add(key)
        text = (await self.tree.read(path)).replace("\\\n", " ") + "\n"
        for name in re.findall(r"^-?include\s+(\S+)", text, re.M):
            for other in self._files(name, posixpath.dirname(path)):
                self.found.files.add(other)
                text += await self.tree.read(other) + "\n"
        rules = [(found[1].split(), found[2], found[3]) for found in _RULE.finditer(text)]
        wanted = [word for word in targets if any(word in names for names, _, _ in rules)]
        if not wanted:
            wanted = next((names[:1] for names, _, _ in rules if not names[0].startswith(".")), [])
        reached: set[str] = set()
        while wanted:
            reached.add(target := wanted.pop())
            for names, needs, recipe in rules:
                if target in names:
                    wanted += [need for need in needs.split(";")[0].split() if need not in reached]
                    self.waiting.append((_filled(recipe + needs.partition(";")[2], text), posixpath.dirname(path)))

    async def _scripts(self, path: str, names: set[str]) -> None:
        """Queue scripts of a package.json; scripts that these start by name are found in turn."""
        if (key := f"{path} {sorted(names)}") in self.read:
            return
        self.read.add(key)
        self.found.files.add(path)
        try:
            scripts = json.loads(await self.tree.read(path)).get("scripts", {})
        except (ValueError, AttributeError, RecursionError):
            return
        for name, script in scripts.items() if isinstance(scripts, dict) else ():
            if isinstance(script, str) and (name in names or ("t" in names and name == "test")):
                self.waiting.append((script, posixpath.dirname(path)))

    async def settings(self) -> None:
        """Collect test runner settings in the folders that the command enters, and plugins that a conftest loads."""
        await self.drain()
        for folder in list(self.folders):
            for name in _PYTEST_FILES:
                path = posixpath.join(folder, name)
                if path in self.tree.files:
                    await self.scan(steering_text(name, await self.tree.read(path)), folder)
        shown = [path for path in self.tree.files if path.rpartition("/")[2] == "conftest.py"]
        for path in sorted(shown, key=len)[:40]:
            for found in _PLUGINS.finditer(await self.tree.read(path)):
                for word in re.findall(r"[\"']([\w.]+)[\"']", found[1]):
                    for module in self._modules(word, posixpath.dirname(path)):
                        await self._start(module)
        for path in self.tree.files:
            if re.match(
                r"(?:jest|vitest|karma|playwright|\.mocharc|ava|wdio|jasmine)\b.*\.[cm]?[jt]s(?:on)?$",
                path.rpartition("/")[2],
            ):
                for word in _WORD.findall(await self.tree.read(path)):
                    for file in self._files(word, posixpath.dirname(path)):
                        await self._start(file)

    def _enter(self, name: str, folder: str) -> None:
        for place in self._folders_named(name, folder):
            self.found.roots.add(place)
            if place not in self.folders:
                self.folders.append(place)

    def _folders_named(self, name: str, folder: str) -> list[str]:
        places = (_joined(base, name) for base in (folder, *self.folders))
        found = [self.tree.links.get(place, place) for place in places if place is not None]
        return [place for place in dict.fromkeys(found) if place in self.inside]

    def _files(self, word: str, folder: str) -> tuple[str, ...]:
        """Files that a word may refer to: for a link, both the link and its target."""
        found: dict[str, None] = {}
        for base in (folder, *self.folders):
            path = _joined(base, word.split("::")[0])
            while path is not None and path in self.tree.files and path not in found:
                found[path] = None
                path = self.tree.links.get(path)
        return tuple(found)

    def _modules(self, word: str, folder: str) -> tuple[str, ...]:
        """Files that a dotted Python name may refer to; its last parts may be a class and a method."""
        if not re.fullmatch(r"\w+(?:\.\w+)*(?::\w+)?", word):
            return ()
        parts = word.partition(":")[0].split(".")
        for length in range(len(parts), max(len(parts) - 3, 0), -1):
            name = "/".join(parts[:length])
            for end in (".py", "/__main__.py", "/__init__.py"):
                found = [
                    p
                    for root in (*sorted(self.found.roots), "src", "lib")
                    for p in self._files(posixpath.join(root, name + end), folder)
                ]
                if found:
                    return tuple(dict.fromkeys(found))
        return ()


def _is_subject(text: str, found: re.Match[str]) -> bool:
    """Whether a script runs something to inspect its output, so that it is under test itself: `$(sh tool.sh 1)`."""
    before, after = text[: found.start(1)].rpartition("\n")[2], text[found.end(1) :].partition("\n")[0]
    opened = max(before.rfind("$("), before.rfind("`"))
    if opened >= 0 and ")" not in before[opened:]:
        return True
    return re.match(r"[^;&|#]*(?:(?<!\d)(?<!&)>(?!&)|\|\s*(?:diff|cmp|grep|sort|awk|tail|head)\b)", after) is not None


def is_script(path: str) -> bool:
    """True for a shell script or a makefile, and for a file without an extension, which may be anything."""
    name = path.rpartition("/")[2]
    ending = name.rpartition(".")[2].lower() if "." in name.strip(".") else ""
    return ending in ("", "sh", "bash", "zsh", "ksh", "fish", "bat", "cmd", "ps1", "mk", "mak", "just")


def steering_text(name: str, text: str) -> str:
    """The part of a settings file that concerns test runners, as text; all of it if it has no other purpose."""
    if name.endswith(".toml"):
        return "\n".join(_toml_values(text)) if name != "pytest.toml" else text
    if name == "setup.cfg" or name == "tox.ini":
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            return text
        wanted = [
            name for name in parser.sections() if re.match(r"(tool:)?pytest|unittest|aliases|testenv|nose|tox", name)
        ]
        return "\n".join(f"{key} = {value}" for section in wanted for key, value in parser.items(section))
    return text


def _toml_values(text: str) -> Iterator[str]:
    try:
        tool = tomllib.loads(text).get("tool", {})
    except (tomllib.TOMLDecodeError, RecursionError, AttributeError):
        return
    for key in ("pytest", "tox", "nox", "hatch", "poe", "taskipy", "pdm", "task", "invoke"):
        if isinstance(tool, dict) and key in tool:
            yield from _strings(tool[key], key)


def _strings(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, str(name))
    elif isinstance(value, list):
        yield f"{key} = {' '.join(str(one) for one in value if isinstance(one, str))}"
    elif isinstance(value, str):
        yield f"{key} = {value}"


def _filled(recipe: str, makefile: str) -> str:
    """The recipe with the makefile's plain variables expanded."""
    known: dict[str, str] = dict(re.findall(r"^(\w+)\s*[:?]?=\s*(.*)$", makefile, re.M))
    for _ in range(3):
        recipe = re.sub(r"\$[({](\w+)[)}]", lambda found: known.get(found[1], found[1]), recipe)
    return re.sub(r"^[\t @+-]+", "", recipe, flags=re.M)


def _joined(folder: str, name: str) -> str | None:
    """A name relative to a folder, as a path in the tree; None if it leaves the tree."""
    path = posixpath.normpath(posixpath.join(folder, name.lstrip("/"))) if name.strip("/") else None
    return None if path is None or path.startswith("..") else ("" if path == "." else path)


def _folders(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
