"""What the repair policy calls in the sandbox: `locate`, `show`, `check` and `apply`.

Every verb reads one JSON file (its argument) and prints lines that start with `repair ` and hold JSON, or, for edits
that were tried, `tried EDIT: RESULT`. The tree is left with the edits named `base` and nothing else changed.
Python 3.8 or later, standard library only.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

import repair_rank  # type: ignore[import-not-found]
from repair_exec import HERE, Command, Execution  # type: ignore[import-not-found]
from repair_tree import Tree  # type: ignore[import-not-found]

STATE = os.path.join(HERE, "state.json")
ROOM = 8800
"""Characters that one call may print: what an agent's observation keeps whole."""


def say(data: Any) -> int:
    """Print one machine-readable line; returns its length."""
    text = data if isinstance(data, str) else json.dumps(data)
    sys.stdout.write("repair " + text + "\n")
    return len(text) + 8


def locate(want: dict[str, Any]) -> None:
    """Run the tests, rank the code and print the best of it."""
    command = Command(want["command"])
    command.prepare()
    plain = command.run(os.path.join(HERE, "plain"), timeout=want["seconds"])
    if command.kind == "script" and not plain.tests:
        command.whole = True
        plain = command.run(os.path.join(HERE, "whole"), timeout=want["seconds"])
    failing = plain.failing()
    traced, near = plain, None
    if failing:
        if plain.seconds > 4:
            homes = {home(test) for test in failing}
            near = [test for test in plain.tests if home(test) in homes]
        only = near if failing != ["<command>"] else None
        traced = command.run(os.path.join(HERE, "traced"), timeout=want["seconds"], trace=True, only=only)
    state = {"failing": failing, "passing": [t for t in plain.tests if t not in set(failing)], "seconds": plain.seconds}
    state.update(kind=command.kind, whole=command.whole, near=near, own=_own_seconds(plain, failing))
    state["depth"] = {test: depth(test, text) for test, (ok, text, _) in plain.tests.items() if not ok}
    words = set(want["words"])
    ranked, lines, files = _ranked(plain, traced, words)
    state.update(lines=lines, each=traced.each, passed=traced.coverage()[1])
    with open(STATE, "w", encoding="utf-8") as stream:
        json.dump(state, stream)
    _report(plain, failing, command.kind)
    _print_units(ranked, lines, files, skip=0)


def home(test: str) -> str:
    """The file or class that a test id belongs to."""
    return test.split("::")[0] if "::" in test else test.rpartition(".")[0]


def _own_seconds(plain: Execution, failing: list[str]) -> float:
    return float(sum(plain.tests[test][2] for test in failing if test in plain.tests))


def depth(test: str, text: str) -> int:
    """How far a failing test got: the line in its own file where it failed, 0 when that is not told."""
    stem = os.path.basename(test.split("::")[0]) if "::" in test else ""
    for path, line in repair_rank.frames(text, os.getcwd()):
        name = os.path.basename(path)
        if name == stem or (not stem and repair_rank.is_source(path) is False):
            return int(line)
    return 0


def _ranked(plain: Execution, traced: Execution, words: set[str]) -> tuple[list[Any], dict[str, Any], dict[str, str]]:
    root = os.getcwd()
    failing = [text for ok, text, _ in plain.tests.values() if not ok] or [plain.output()[-20000:]]
    lines = repair_rank.ochiai(*traced.coverage(), sum(not ok for ok, _, _ in traced.tests.values()))
    for text in failing[:20]:
        found = [(path, line) for path, line in repair_rank.frames(text, root) if repair_rank.is_source(path)]
        for distance, (path, line) in enumerate(reversed(found[-6:])):
            per_file = lines.setdefault(path, {})
            per_file[line] = max(per_file.get(line, 0.0), 0.3) + (0.35 if distance == 0 else 0.12) / min(
                len(failing), 3
            )
    files = _read(sorted(lines))
    ranked = repair_rank.rank(files, lines, words)
    if len(ranked) < 2:
        files = _read(repair_rank.source_files(root))
        guessed = {path: dict.fromkeys(range(1, text.count("\n") + 2), 0.1) for path, text in files.items()}
        ranked = repair_rank.rank(files, {**guessed, **lines}, words)
    return ranked, lines, files


def _read(paths: list[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8", newline="") as stream:
                found[path] = stream.read().replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _report(plain: Execution, failing: list[str], kind: str) -> None:
    state = "timed out" if plain.code is None else str(plain.code)
    counts = {"tests": len(plain.tests), "failing": len(failing), "names": [test[-120:] for test in failing[:8]]}
    say({"k": "run", "code": state, "how": kind, "seconds": round(plain.seconds, 2), **counts})
    texts = [plain.tests[test][1] for test in failing[:3] if test in plain.tests] or [plain.output()[-1500:]]
    for text in texts if failing else []:
        marked = [line[1:].strip() for line in text.split("\n") if re.match(r"^E\s", line)]
        last = [line for line in text.strip().split("\n") if re.match(r"^\w*(Error|Exception|Warning)\b", line)]
        say({"k": "failure", "text": "\n".join(marked or last or text.strip().split("\n")[-3:])[:450]})


def _print_units(ranked: list[Any], lines: dict[str, Any], files: dict[str, str], skip: int) -> None:
    rest = [{"p": unit.path, "n": unit.name, "l": unit.first, "s": round(unit.score, 2)} for unit in ranked[:40]]
    while len(json.dumps(rest)) > 1800:
        rest.pop()
    room = ROOM - 2500 - say({"k": "ranking", "units": rest})
    named: set[str] = set()
    for unit in ranked:
        text = json.dumps(
            unit.data(files[unit.path].split("\n"), {int(n): s for n, s in lines.get(unit.path, {}).items()})
        )
        names = "" if unit.path in named else repair_rank.names_of(unit.path, files[unit.path], 1200)
        if len(text) + len(names) > room:
            continue
        named.add(unit.path)
        room -= say(text) + (say(names) if names else 0)


def show(want: dict[str, Any]) -> None:
    """Print the units that start at the wanted places."""
    with open(STATE, encoding="utf-8") as stream:
        lines = json.load(stream)["lines"]
    wanted = [(item["p"], item["l"]) for item in want["units"]]
    tree = Tree(HERE)
    files = {path: tree.original(path).replace("\r\n", "\n") for path in {path for path, _ in wanted}}
    numbers = {path: {int(n): score for n, score in lines.get(path, {}).items()} for path in files}
    units = [unit for path in files for unit in repair_rank.units_of(path, files[path])]
    room, named = want.get("room", ROOM), set()
    for place in wanted:
        for unit in units:
            if (unit.path, unit.first) == place:
                text = json.dumps(unit.data(files[unit.path].split("\n"), numbers[unit.path]))
                room -= say(text) if len(text) < room else 0
        if place[0] not in named and room > 1500:
            named.add(place[0])
            room -= say(repair_rank.names_of(place[0], files[place[0]], 1200))


def check(want: dict[str, Any]) -> None:
    """Try each candidate on top of the original files, print what came of it, and leave `base` applied."""
    with open(STATE, encoding="utf-8") as stream:
        state = json.load(stream)
    command = Command(want["command"])
    command.prepare()
    command.kind, command.whole = state["kind"], state["whole"]
    tree = Tree(HERE)
    ends = time.monotonic() + want["seconds"]
    touched = {edit["path"] for edit in want["base"]}
    best, remaining = len(state["failing"]), []
    for number, candidate in enumerate(want["candidates"]):
        touched |= {edit["path"] for edit in candidate["edits"]}
        result = "not run (out of time)"
        if time.monotonic() < ends:
            result, left = tree.write(candidate["edits"], touched), state["failing"]
            if not result:
                result, left = _try(command, state, want["tag"] + str(number), ends)
            if 0 < len(left) < best and "broke" not in result:
                best, remaining = len(left), left
        sys.stdout.write(f"tried {candidate['text']}: {result}\n")
        sys.stdout.flush()
    tree.write(want["base"], touched)
    if remaining:
        _report_remaining(state, remaining)


def _report_remaining(state: dict[str, Any], remaining: list[str]) -> None:
    """Suspicion seen from the tests that the best edits leave failing."""
    failed: dict[str, dict[int, int]] = {}
    for test in remaining:
        for path, lines in state["each"].get(test, {}).items():
            for line in lines:
                failed.setdefault(path, {})[line] = failed.get(path, {}).get(line, 0) + 1
    passed = {path: {int(line): n for line, n in lines.items()} for path, lines in state["passed"].items()}
    for test in set(state["failing"]) - set(remaining):
        for path, lines in state["each"].get(test, {}).items():
            for line in lines:
                passed.setdefault(path, {})[line] = passed.get(path, {}).get(line, 0) + 1
    ranked = repair_rank.ochiai(failed, passed, len(remaining))
    for path in sorted(ranked, key=lambda path: -max(ranked[path].values()))[:4]:
        hot = {str(line): int(100 * score) for line, score in ranked[path].items() if score > 0.2}
        say({"k": "remaining", "path": path, "tests": len(remaining), "hot": dict(sorted(hot.items())[:150])})


def _try(command: Command, state: dict[str, Any], tag: str, ends: float) -> tuple[str, list[str]]:
    failing, prefix = state["failing"], os.path.join(HERE, tag)
    named = failing != ["<command>"]
    limit = (
        1 + 4 * (state["own"] if named else state["seconds"]) + (state["seconds"] if command.kind == "shell" else 0.5)
    )
    first = command.run(prefix + "a", timeout=limit, only=failing if named else None)
    left = _left(first, failing)
    further = any(depth(t, x[1]) > state["depth"].get(t, 10**9) for t, x in first.tests.items() if not x[0])
    broke = 0
    if named and len(left) < len(failing):
        patience = min(3 + 3 * state["seconds"], max(ends - time.monotonic(), 1) + 5)
        second = command.run(prefix + "b", timeout=patience, only=state["near"])
        left = _left(second, failing)
        expected = set(state["near"] or second.tests) & set(state["passing"])
        broke = sum(not second.tests.get(test, (False, "", 0.0))[0] for test in expected)
        broke += sum(
            not ok for test, (ok, _, _) in second.tests.items() if test not in expected and test not in failing
        )
        if not left and not broke and second.code != 0 and state["near"] is None:
            broke = 1
    result = f"failing {len(left)} of {len(failing)}"
    result += f", broke {broke}" if broke else ""
    result += ", further" if further and len(left) == len(failing) else ""
    result += ", timed out" if first.code is None else ""
    return result + (" (all pass)" if not left and not broke else ""), left


def _left(run: Execution, failing: list[str]) -> list[str]:
    if failing == ["<command>"]:
        return failing if run.failing() else []
    return [test for test in failing if not run.tests.get(test, (False, "", 0.0))[0]]


def apply(want: dict[str, Any]) -> None:
    """Leave the tree with the wanted edits."""
    touched = {edit["path"] for edit in want["base"]}
    problem = Tree(HERE).write(want["base"], touched)
    say({"k": "applied", "problem": problem})


def main() -> None:
    """Do what the first argument says with the JSON file that the second one names, under the right interpreter."""
    verb, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as stream:
        want = json.load(stream)
    program = Command(want.get("command", "")).program
    # A virtual environment's python is a link to the one it was made from, so links are not followed here.
    if os.environ.pop("REPAIR_SWITCHED", None) is None and program and os.path.abspath(program) != sys.executable:
        os.environ["REPAIR_SWITCHED"] = "1"
        sys.stdout.flush()
        os.execv(program, [program, *sys.argv])  # noqa: S606 - the test command's own interpreter
    sys.dont_write_bytecode = True
    {"locate": locate, "show": show, "check": check, "apply": apply}[verb](want)


if __name__ == "__main__":
    main()
