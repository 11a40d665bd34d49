"""Secrets of the host stay out of sandboxes, run directories and requests: a `heats solve` that looks for them."""

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from processes import RIGHT, Solve, make_repository

from agents.llm.fake_persona import Persona, Rule, Script
from agents.llm.fake_server import FakeServer

pytestmark = pytest.mark.slow

SANDBOXES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]

# Secrets begin with CANARY, and the pattern does not match itself. A match is reported with its location.
FILES = "find / -xdev -type f -size -256k ! -path '/usr/*' ! -path '/proc/*' ! -path '/sys/*' -exec cat {} +"
SOURCES = f"env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; {FILES}; ls -laR /tmp /run /root /home"
LOOK = f"echo lines=$(({SOURCES}) 2>/dev/null | tr '\\0' '\\n' | grep -ac .)"
FIND = f"echo found=$(({SOURCES}) 2>/dev/null | tr '\\0' '\\n' | grep -ac 'CANAR[Y]')"


class Canaries:
    """Secrets in the places where people store them."""

    def __init__(self, home: Path, repository: Path) -> None:
        self.values: list[str] = []
        self.home = home
        (home / ".docker").mkdir(parents=True)
        (home / ".ssh").mkdir()
        proxies = {"default": {"httpProxy": f"http://u:{self.new()}@proxy:1"}}
        logins = {"example.org": {"auth": base64.b64encode(f"u:{self.new()}".encode()).decode()}}
        (home / ".docker" / "config.json").write_text(json.dumps({"proxies": proxies, "auths": logins}))
        (home / ".netrc").write_text(f"machine example.org login u password {self.new()}\n")
        (home / ".ssh" / "id_ed25519").write_text(self.new())
        (home / ".gitconfig").write_text(f'[http "https://example.org"]\nextraHeader = "X: {self.new()}"\n')
        (repository / ".env").write_text(f"TOKEN={self.new()}\n")
        remote = ["remote", "add", "origin", f"https://u:{self.new()}@example.org/r"]
        subprocess.run(["git", "-C", str(repository), *remote], check=True)
        names = ("OPENAI_API_KEY", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_OWN")
        self.environment = {"HOME": str(home), **{name: self.new() for name in names}}
        self.environment["HTTPS_PROXY"] = f"http://u:{self.new()}@127.0.0.1:1"
        self.argument = self.new()

    def new(self) -> str:
        self.values.append(f"CANARY{secrets.token_hex(10)}")
        return self.values[-1]

    def found_in(self, data: bytes) -> list[str]:
        """The secrets found in some bytes, plain or in disguise."""
        return [value for value in self.values if any(shape in data for shape in shapes(value))]


def shapes(value: str) -> list[bytes]:
    raw = value.encode()
    coded = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw[::-1], raw.hex().encode(), urllib.parse.quote(value).encode(), *coded]


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.timeout(300)
async def test_planted_secrets_are_found_nowhere(tmp_path: Path, sandbox: str) -> None:
    canaries = Canaries(tmp_path / "home", make_repository(tmp_path / "repo"))
    # An agent that looks for them everywhere, and fixes the program as well.
    script = Script(rules=(Rule(when="add\\(\\) subtracts", commands=(LOOK, FIND, "env", RIGHT)),))
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", canaries.argument])
    try:
        async with FakeServer(Persona(script)) as server:
            small = ("-c", "rollouts=2", "-c", "select_k=1", "-c", "iterations=1")
            solve = Solve(tmp_path, server.base_url, sandbox, *small)
            solve.environment = {**os.environ, **canaries.environment}
            code, result, told = await asyncio.to_thread(solve.finish)
            requests = json.dumps(list(server.requests)).encode()
    finally:
        sleeper.kill()
        sleeper.wait()
    assert (code, result.get("status")) == (0, "verified"), told
    assert b"found=0" in requests
    assert b"lines=" in requests
    assert b"lines=0" not in requests
    assert canaries.found_in(requests) == []
    for path in solve.run_dir.rglob("*"):
        assert canaries.found_in(str(path).encode()) == []
        assert not path.is_file() or canaries.found_in(path.read_bytes()) == [], path
    assert canaries.found_in((json.dumps(result) + told).encode()) == []


def test_secrets_are_recognised_in_disguise(tmp_path: Path) -> None:
    canaries = Canaries(tmp_path / "home", make_repository(tmp_path / "repo"))
    value = canaries.argument
    for text in (value, value[::-1], value.encode().hex(), base64.b64encode(f"key={value};".encode()).decode()):
        assert canaries.found_in(f"a {text} b".encode()) == [value]
    assert canaries.found_in(b"nothing here") == []
