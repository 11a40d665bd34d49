"""The parts of a row's test command that do not reveal hidden tests: the runner and its options.

File, module and test names at the end of the row's command are removed; if they cannot be separated, only the kind of
runner is used.
"""

import posixpath
import re
import shlex

from envs.errors import TaskError
from envs.existing_tests import RunnerKind, TestRunner
from envs.swebench.plan import changed_files, split_script
from envs.swebench.rows import Instance

_PLAIN: dict[RunnerKind, str] = {
    "pytest": "python3 -m pytest -q",
    "django": "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1",
    "sympy": "bin/test -C --verbose",
}
_CHOOSING = frozenset(("-k", "--deselect", "--ignore", "--ignore-glob", "--pyargs"))
"""Options of pytest whose values name tests."""


def visible_runner(instance: Instance) -> TestRunner | None:
    """Return an instance's test runner; None if the row does not specify it in a known form."""
    line = _command(instance)
    kind = _kind(line)
    if kind is None:
        return None
    hidden = _hidden_words(instance)
    try:
        words = shlex.split(line)
    except ValueError:
        return TestRunner(kind=kind, command=_PLAIN[kind])
    kept: list[str] = []
    for word in words:
        if word in hidden or _names_test(word) or word.split("=")[0] in _CHOOSING:
            break
        kept.append(word)
    command = " ".join(_quoted(word) for word in kept)
    if (
        _kind(command) != kind
        or any(_mentions(command, name) for name in hidden)
        or re.search(r"[;&|<>()`\n#]", command)
    ):
        command = _PLAIN[kind]
    return TestRunner(kind=kind, command=command)


def _command(instance: Instance) -> str:
    if instance.eval_script:
        try:
            lines = [line for line in split_script(instance)[1] if line.strip()]
        except TaskError:
            return ""
        return lines[0].strip() if len(lines) == 1 else ""
    return instance.test_command.strip()


def _kind(line: str) -> RunnerKind | None:
    if "runtests.py" in line:
        return "django"
    if "bin/test" in line:
        return "sympy"
    return "pytest" if re.search(r"(?:^|[\s/])(?:pytest|py\.test|tox)(?:\s|$)", line) and "tox" not in line else None


def _names_test(word: str) -> bool:
    """Whether a word names a file, a folder or a test rather than an option."""
    if word.startswith("-") or "=" in word.split("/")[0]:
        return False
    name = word.split("::")[0]
    return "::" in word or (name.endswith((".py", ".rst", ".txt")) and not name.endswith("runtests.py"))


def _hidden_words(instance: Instance) -> set[str]:
    """Return the files with hidden tests, as paths and as modules, and the tests' names."""
    try:
        restore, added = changed_files(instance)
    except TaskError:
        restore, added = instance.test_files, ()
    tests = (*instance.fail_to_pass, *instance.pass_to_pass)
    words: set[str] = {*tests, *(re.split(r"[\[( ]", test.rpartition("::")[2])[0] for test in tests)}
    for path in (*restore, *added):
        bare = path.rsplit(".", 1)[0]
        dotted = bare.replace("/", ".").split(".")
        words |= {path, bare} | {".".join(dotted[start:]) for start in range(len(dotted))}
        folder = posixpath.dirname(path)
        words |= {folder, folder + "/"} if "/" in folder else set()
    return words - {"", "tests", "test"}


def _mentions(command: str, name: str) -> bool:
    return len(name) > 4 and name in command


def _quoted(word: str) -> str:
    """Quote a word for the shell, preserving an assignment in front of a command."""
    assigned = re.match(r"^([A-Za-z_]\w*)=(.*)$", word, re.DOTALL)
    return f"{assigned[1]}={shlex.quote(assigned[2])}" if assigned else shlex.quote(word)
