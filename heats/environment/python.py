"""Set-up and tests of a Python project, derived from the configuration of other tools."""

import ast
import configparser
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from heats.environment.proposal import SuggestedTests
from heats.environment.tree import Files
from sandbox.prepared import VENV

_TEST_NAMES = ("test", "tests", "testing", "unittest", "pytest")
_DEV_NAMES = ("dev", "develop", "development", "ci")
_REQUIREMENTS = re.compile(
    r"(?:(?:requirements|reqs?)[-_/.])?(?:tests?|testing|dev|develop|ci)(?:[-_.]requirements)?\.(?:txt|in|pip)"
    r"|(?:requirements|reqs?)[-_/](?:tests?|testing|dev|ci)\.(?:txt|in|pip)|tests?/requirements\.txt"
    r"|(?:tests?|testing|dev)[-_]requirements\.(?:txt|in|pip)"
)
_PLUGINS = {
    r"--(?:no-)?cov\b": "pytest-cov",
    r"(?:^|\s)(?:-n[\s=]?(?:auto|\d)|--dist\b|--numprocesses)": "pytest-xdist",
    r"--timeout\b|^timeout\s*=": "pytest-timeout",
    r"asyncio_mode|asyncio_default": "pytest-asyncio",
    r"--benchmark": "pytest-benchmark",
    r"--doctest-(?:plus|rst|glob=.*--doctest-plus)|doctest_plus": "pytest-doctestplus",
    r"--flake8": "pytest-flake8",
    r"--mypy": "pytest-mypy",
    r"--black": "pytest-black",
    r"--randomly|-p no:randomly": "pytest-randomly",
    r"--reruns": "pytest-rerunfailures",
    r"--random-order": "pytest-random-order",
    r"DJANGO_SETTINGS_MODULE": "pytest-django",
    r"env\s*=\s*$|^env\s*=": "pytest-env",
}
"""Plugins by their options in a pytest configuration; without the plugin, pytest refuses to start."""

_VERSIONED_BY_GIT = re.compile(r"setuptools[-_]scm|hatch-vcs")


def python_proposal(files: Files) -> SuggestedTests | None:
    """Build the proposal for a Python project; None if there is no sign of one."""
    marks = [name for name in ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "Pipfile") if name in files]
    marks += sorted(files.matching(r"requirements.*\.txt"))
    if not marks and not any(files.matching(r"(?:.*/)?test_\w+\.py")):
        return None
    if marks == ["pyproject.toml"] and "package.json" in files and not any(files.matching(r".*\.py")):
        return None
    project = _Project(files)
    return SuggestedTests(
        language="python",
        test=project.test_command(),
        setup=project.setup_command(),
        found=(*marks, *(name for name in ("uv.lock", "poetry.lock") if name in files)),
    )


class _Project:
    """A Python project as described by its files."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.pyproject = _toml(files.read("pyproject.toml"))
        self.setup_cfg = _ini(files.read("setup.cfg"))
        self.tox = _ini(files.read("tox.ini"))
        self.setup_py = files.read("setup.py")
        self.pytest_options = self._pytest_options()

    def installable(self) -> bool:
        """Whether pip can install the tree itself."""
        poetry = _at(self.pyproject, "tool", "poetry")
        if poetry.get("package-mode") is False:
            return False
        declared = "project" in self.pyproject or bool(poetry) or "build-system" in self.pyproject
        return declared or bool(self.setup_py) or self.setup_cfg.has_section("metadata")

    def setup_command(self) -> str:
        """Return the command that creates a virtual environment with the project, its test dependencies and pytest."""
        wanted = list(dict.fromkeys(self._installs()))
        version = self._version()
        pip = f"{VENV}/bin/python -m pip install -q"
        install = f"{version}{pip} {' '.join(wanted)}"
        return " && ".join([f"python3 -m venv {VENV}", install, *self._before_tests()])

    def test_command(self) -> str:
        """Return the test command, without options that affect the exit code for reasons other than test failures."""
        runner = "manage.py" in self.files and "pytest" not in self._all_text()
        if runner:
            return "python manage.py test"
        cover = " --no-cov" if "--cov" in self.pytest_options else ""
        return f"python -m pytest -q{cover}{self._paths()}"

    def _before_tests(self) -> Iterator[str]:
        """Yield the commands that tox runs before the tests, such as building an extension in place."""
        sections = ["testenv", *(name for name in self.tox.sections() if name.startswith("testenv:py{"))]
        for section in sections:
            for line in _lines(self.tox.get(section, "commands_pre", fallback="")):
                command = re.sub(r"^(?:\{envpython\}|python3?)(?= )", f"{VENV}/bin/python", line)
                command = command.replace("{toxinidir}", ".")
                if command.startswith(VENV) and "{" not in command:
                    yield command

    def _paths(self) -> str:
        """Return the location of the tests if pytest is not configured with one and would search everything."""
        if "testpaths" in self.pytest_options:
            return ""
        folders = [name for name in ("tests", "test", "testing") if self.files.under(name)]
        named = r"(?:.*/)?(?:test_\w+|\w+_tests?)\.py"
        return next((f" {name}" for name in folders if any(self.files.matching(f"{name}/{named}"))), "")

    def _installs(self) -> Iterator[str]:
        """Yield the arguments of `pip install`."""
        extras = self._extras()
        if self.installable():
            yield f"-e {shlex.quote('.[' + ','.join(extras) + ']')}" if extras else "-e ."
        for name in self._requirement_files():
            yield f"-r {shlex.quote(name)}"
        for requirement in (*self._groups(), *self._tox_requirements(), *self._poetry(), *self._pipfile()):
            yield requirement if requirement.startswith("-r ") else _quoted(requirement)
        yield "pytest"
        yield from (plugin for pattern, plugin in _PLUGINS.items() if re.search(pattern, self.pytest_options, re.M))

    def _extras(self) -> list[str]:
        declared = [*_at(self.pyproject, "project", "optional-dependencies")]
        declared += [*_at(self.pyproject, "tool", "poetry", "extras")]
        if self.setup_cfg.has_section("options.extras_require"):
            declared += self.setup_cfg.options("options.extras_require")
        declared += _extras_in(self.setup_py)
        listed = _lines(self.tox.get("testenv", "extras", fallback="").replace(",", "\n"))
        chosen = [name for name in listed if name in declared] or _best(declared)
        return list(dict.fromkeys(chosen))

    def _groups(self) -> Iterator[str]:
        """Yield the requirements of PEP 735 dependency groups, which older versions of pip cannot install."""
        groups = _at(self.pyproject, "dependency-groups")
        seen: set[str] = set()

        def of(name: str) -> Iterator[str]:
            if name in seen:
                return
            seen.add(name)
            for one in groups.get(name, ()):
                if isinstance(one, str):
                    yield one
                elif isinstance(one, Mapping) and "include-group" in one:
                    yield from of(str(one["include-group"]))

        for name in _best(list(groups)):
            yield from of(name)

    def _requirement_files(self) -> Iterator[str]:
        test = [name for name in self.files.names if _REQUIREMENTS.fullmatch(name)]
        test.sort(key=lambda name: (not name.endswith(".txt"), name))
        best = [name for name in test if "test" in name] or test
        if not self.installable() and "requirements.txt" in self.files:
            yield "requirements.txt"
        tox = self.tox.get("testenv", "deps", fallback="")
        yield from best[:1] if not re.search(r"^\s*-r", tox, re.MULTILINE) else ()

    def _tox_requirements(self) -> Iterator[str]:
        for line in _lines(self.tox.get("testenv", "deps", fallback="")):
            requirement = re.sub(r"\{toxinidir\}/?", "", line)
            if requirement.startswith("-r"):
                name = requirement.removeprefix("-r").strip()
                if name in self.files:
                    yield f"-r {shlex.quote(name)}"
            elif re.match(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?\s*([<>=!~].*)?$", requirement):
                yield requirement.strip()

    def _poetry(self) -> Iterator[str]:
        poetry = _at(self.pyproject, "tool", "poetry")
        groups = _at(poetry, "group")
        tables = [_at(poetry, "dev-dependencies")] if "dev-dependencies" in poetry else []
        tables += [_at(groups, name, "dependencies") for name in _best(list(groups))]
        for table in tables:
            for name, wanted in table.items():
                version = wanted if isinstance(wanted, str) else wanted.get("version", "*") if wanted else "*"
                extras = wanted.get("extras", ()) if isinstance(wanted, Mapping) else ()
                bracket = f"[{','.join(extras)}]" if extras else ""
                if name != "python" and not (isinstance(wanted, Mapping) and {"git", "path"} & set(wanted)):
                    yield f"{name}{bracket}{_from_caret(str(version))}"

    def _pipfile(self) -> Iterator[str]:
        pipfile = _toml(self.files.read("Pipfile"))
        for table in ("packages", "dev-packages"):
            for name, wanted in _at(pipfile, table).items():
                if isinstance(wanted, str):
                    yield name + ("" if wanted == "*" else wanted)
                elif isinstance(wanted, Mapping) and not {"path", "git", "editable"} & set(wanted):
                    yield name

    def _version(self) -> str:
        """Return the version for builds that derive it from git, since the sandbox has no tags."""
        text = f"{self.files.read('pyproject.toml')}\n{self.files.read('setup.cfg')}\n{self.setup_py}"
        tag = self.files.last_tag()
        if not tag:
            return ""
        scm = f"SETUPTOOLS_SCM_PRETEND_VERSION={tag} " if _VERSIONED_BY_GIT.search(text) else ""
        return scm + (f"PBR_VERSION={tag} " if re.search(r"\bpbr\b", text) else "")

    def _pytest_options(self) -> str:
        """Return the whole pytest configuration as `key = value` lines."""
        parts = [self.files.read("pytest.ini")]
        for parser, section in ((self.setup_cfg, "tool:pytest"), (self.tox, "pytest")):
            if parser.has_section(section):
                parts += [f"{key} = {value}" for key, value in parser.items(section)]
        parts += [f"{key} = {value}" for key, value in _at(self.pyproject, "tool", "pytest", "ini_options").items()]
        return "\n".join(parts)

    def _all_text(self) -> str:
        names = ("pyproject.toml", "setup.cfg", "tox.ini", "setup.py", "requirements.txt", "pytest.ini")
        return "\n".join(self.files.read(name) for name in names)


def _best(names: Iterable[str]) -> list[str]:
    """Return names that denote tests, or else names that denote development."""
    known = list(names)
    tests = [name for name in known if name.lower() in _TEST_NAMES]
    return tests or [name for name in known if name.lower() in _DEV_NAMES]


def _extras_in(setup_py: str) -> list[str]:
    """Return the keys of `extras_require` in a setup.py, if they are literals."""
    try:
        tree = ast.parse(setup_py)
    except (SyntaxError, ValueError):
        return []
    assigned = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            value = assigned.get(node.value.id, node.value) if isinstance(node.value, ast.Name) else node.value
            if isinstance(value, ast.Dict):
                return [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return []


def _quoted(requirement: str) -> str:
    """Quote a requirement for a shell; markers contain quotes themselves."""
    return (
        f'"{requirement}"' if "'" in requirement and not set('"$`\\') & set(requirement) else shlex.quote(requirement)
    )


def _from_caret(version: str) -> str:
    """Convert a Poetry version constraint to pip's syntax."""
    if version in ("", "*"):
        return ""
    if found := re.match(r"[\^~](\d[\w.]*)", version):
        return f">={found[1]}"
    return version.replace(" ", "") if version[0] in "<>=!" else f"=={version}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return configparser.ConfigParser(interpolation=None)
    return parser


def _at(table: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a nested table; empty if it is missing or not a table."""
    for key in keys:
        found = table.get(key)
        table = found if isinstance(found, Mapping) else {}
    return dict(table)
