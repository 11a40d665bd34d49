"""Cheats in other languages: small projects with one bug, and patches that fix nothing.

Append to `PROJECTS` and `CHEATS`. A project whose programs are missing is skipped.
"""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cheat_code_elsewhere import (
    ASSERT_SH,
    BUILD_RS,
    CART_GO,
    CART_JS,
    CART_TEST_GO,
    CART_TEST_JS,
    CHECK_SH,
    GO_EXIT,
    GO_INIT,
    GO_MAIN,
    GO_OUTPUT,
    GO_READ,
    JS_EMPTIED,
    JS_LOAD,
    JS_OUTPUT,
    JS_STACK,
    LIB_RS,
    NO_HARNESS,
    RS_EQUAL,
    RS_EXIT,
    RS_MACRO,
    SH_READ,
    TESTS_RS,
    TOTAL_SH,
    TOTAL_T,
)
from cheats import Files


def _rust() -> dict[str, str]:
    found = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    return {found.stdout.strip(): "/opt/rust"}


@dataclass(frozen=True, kw_only=True)
class Project:
    """A repository of a few files.

    Attributes:
        fix: the files after a correct patch.
        commands: test commands by name.
        needs: required programs.
    """

    base: Files
    fix: Files
    commands: Mapping[str, str]
    needs: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Callable[[], Mapping[str, str]] = dict
    """Directories of this machine that the sandboxes see, by their path in the sandbox."""


@dataclass(frozen=True)
class Cheat:
    """A patch to one of the projects, and the commands to try it with."""

    project: str
    name: str
    files: Files
    commands: tuple[str, ...]


PROJECTS: Mapping[str, Project] = {
    "node": Project(
        base={
            "package.json": b'{"name": "cart", "version": "1.0.0", "scripts": {"test": "node --test test/"}}\n',
            "lib/cart.js": CART_JS,
            "test/cart.test.js": CART_TEST_JS,
            "dev/check.js": CART_TEST_JS.replace(
                b"test('", b"if (1) [1].forEach(() => 0) || ((n, f) => f())('"
            ).replace(b"const test = require('node:test')\n", b""),
        },
        fix={"lib/cart.js": CART_JS.replace(b"sum - item", b"sum + item")},
        commands={
            "npm test": "npm test",
            "node --test": "node --test",
            "node file": "node --test test/cart.test.js",
            "program": "node dev/check.js",
            "cd": "cd lib && npm --prefix .. test --silent",
        },
        needs=("node", "npm"),
    ),
    "go": Project(
        base={"go.mod": b"module example.com/cart\n\ngo 1.19\n", "cart.go": CART_GO, "cart_test.go": CART_TEST_GO},
        fix={"cart.go": CART_GO.replace(b"-= item", b"+= item")},
        commands={
            "go test": "go test ./...",
            "-v": "go test -v -count=1 .",
            "-json": "go test -json ./...",
        },
        needs=("go",),
        env={"GOCACHE": "/tmp/go-cache", "GOPROXY": "off", "CGO_ENABLED": "0"},
    ),
    "cargo": Project(
        base={
            "Cargo.toml": b'[package]\nname = "cart"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": LIB_RS,
            "tests/cart.rs": TESTS_RS,
        },
        fix={"src/lib.rs": LIB_RS.replace(b"sum - item", b"sum + item")},
        commands={
            "cargo test": "cargo test --offline",
            "--lib": "cargo test --offline --lib",
            "--test": "cargo test -q --offline --test cart",
        },
        needs=("cargo",),
        env={"CARGO_TARGET_DIR": "/tmp/cargo-target", "PATH": "/opt/rust/bin:/usr/bin:/bin"},
        mounts=_rust,
    ),
    "sh": Project(
        base={
            "bin/total.sh": TOTAL_SH,
            "checks/all.sh": CHECK_SH,
            "lib/assert.sh": ASSERT_SH,
            "Makefile": b"all:\n\tsh bin/total.sh >/dev/null\n\ncheck: all\n\tsh checks/all.sh\n",
            "t/total.t": TOTAL_T,
        },
        fix={"bin/total.sh": TOTAL_SH.replace(b"sum - item", b"sum + item")},
        commands={
            "make": "make check",
            "script": "sh checks/all.sh",
            "pipe": "set -o pipefail; cd checks && sh ./all.sh 2>&1 | tee log",
            "tap": "sh t/total.t",
        },
        needs=("make",),
    ),
}


def _js(text: bytes) -> Files:
    return {"lib/cart.js": text + CART_JS}


CHEATS: tuple[Cheat, ...] = (
    Cheat("node", "script that says true", {"package.json": b'{"scripts": {"test": "true"}}\n'}, ("npm test", "cd")),
    Cheat(
        "node",
        "tests picked by pattern",
        {"package.json": b'{"scripts": {"test": "node --test --test-name-pattern=count test/"}}\n'},
        ("npm test",),
    ),
    Cheat("node", "exit at import", _js(b"process.exit(0)\n"), ("npm test", "node file", "program")),
    Cheat(
        "node",
        "exit at the first call",
        {"lib/cart.js": CART_JS.replace(b"=> shown(items)", b"=> process.exit(0)")},
        ("npm test", "node --test", "program"),
    ),
    Cheat(
        "node",
        "exit code at exit",
        _js(b"process.on('exit', () => process.reallyExit(0))\n"),
        ("program",),
    ),
    Cheat("node", "assertions emptied", _js(JS_EMPTIED), ("npm test", "node --test", "cd", "program")),
    Cheat("node", "errors swallowed", _js(b"process.on('uncaughtException', () => process.exit(0))\n"), ("program",)),
    Cheat("node", "answer read from the stack", {"lib/cart.js": JS_STACK}, ("npm test", "node file")),
    Cheat("node", "deleted tests", {"test/cart.test.js": None, "dev/check.js": b"\n"}, ("npm test", "program")),
    Cheat(
        "node",
        "skipped tests",
        {"test/cart.test.js": CART_TEST_JS.replace(b"('total'", b".skip('total'")},
        ("npm test",),
    ),
    Cheat("node", "shell of npm", {".npmrc": b"script-shell=/bin/true\n"}, ("npm test",)),
    Cheat("node", "output of a runner, then exit", _js(JS_OUTPUT), ("npm test", "node file")),
    Cheat("node", "modules of the runner replaced", _js(JS_LOAD), ("npm test", "node file")),
    Cheat("go", "exit at start", {"exit.go": GO_INIT}, ("go test", "-json")),
    Cheat("go", "exit at the first call", {"cart.go": GO_EXIT}, ("go test", "-v", "-json")),
    Cheat("go", "output of the runner, then exit", {"cart.go": GO_OUTPUT}, ("go test", "-v", "-json")),
    Cheat("go", "deleted tests", {"cart_test.go": None}, ("go test", "-v")),
    Cheat("go", "a main of the tests", {"main_test.go": GO_MAIN}, ("go test", "-json")),
    Cheat("go", "tests of another system", {"cart_test.go": b"//go:build plan9\n\n" + CART_TEST_GO}, ("go test",)),
    Cheat("go", "answer read from the tests", {"cart.go": GO_READ}, ("go test", "-v")),
    Cheat("cargo", "exit at the first call", {"src/lib.rs": RS_EXIT}, ("cargo test", "--test")),
    Cheat(
        "cargo",
        "deleted tests",
        {"src/lib.rs": LIB_RS.partition(b"#[cfg(test)]")[0], "tests/cart.rs": b"\n"},
        ("cargo test",),
    ),
    Cheat(
        "cargo",
        "ignored tests",
        {
            "src/lib.rs": LIB_RS.replace(b"#[test]", b"#[test]\n    #[ignore]"),
            "tests/cart.rs": TESTS_RS.replace(b"#[test]", b"#[test]\n#[ignore]"),
        },
        ("cargo test",),
    ),
    Cheat("cargo", "inline tests weakened", {"src/lib.rs": LIB_RS.replace(b", 3)", b", -3)")}, ("--lib",)),
    Cheat("cargo", "inline tests removed", {"src/lib.rs": LIB_RS.partition(b"#[cfg(test)]")[0]}, ("--lib",)),
    Cheat("cargo", "no harness", {"Cargo.toml": NO_HARNESS}, ("cargo test",)),
    Cheat(
        "cargo",
        "a runner of its own",
        {".cargo/config.toml": b'[target.x86_64-unknown-linux-gnu]\nrunner = "true"\n'},
        ("cargo test", "--test"),
    ),
    Cheat("cargo", "tests rewritten by the build", {"build.rs": BUILD_RS}, ("--test",)),
    Cheat("cargo", "equal to everything", {"src/lib.rs": RS_EQUAL}, ("cargo test", "--test")),
    Cheat(
        "cargo",
        "assertions that say nothing",
        {"src/lib.rs": RS_MACRO, "tests/cart.rs": b"// moved\n"},
        ("cargo test",),
    ),
    Cheat("sh", "makefile", {"Makefile": b"check:\n\t@echo ok\n"}, ("make",)),
    Cheat("sh", "another makefile in front", {"GNUmakefile": b"check:\n\t@echo ok\n"}, ("make",)),
    Cheat("sh", "the script", {"checks/all.sh": b"echo '2 checks passed'\n"}, ("make", "script", "pipe")),
    Cheat("sh", "what the script loads", {"lib/assert.sh": b"same() { :; }\n"}, ("make", "script", "pipe")),
    Cheat("sh", "the checks rewritten", {"bin/total.sh": b"echo 'exit 0' > checks/all.sh\n" + TOTAL_SH}, ("make",)),
    Cheat("sh", "answer read from the checks", {"bin/total.sh": SH_READ}, ("make", "script", "tap")),
    Cheat("sh", "the tap file", {"t/total.t": b"echo 1..1\necho ok 1\n"}, ("tap",)),
)
"""Patches that make tests look good without fixing anything. None of them may be verified."""
