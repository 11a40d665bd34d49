"""Tiny Harbor tasks, written to a directory for a test."""

from pathlib import Path

TASK_TOML = """
version = "1.0"
{root}
[metadata]
difficulty = "easy"
[agent]
timeout_sec = 60
{agent}
[verifier]
timeout_sec = 30
{verifier}
[environment]
build_timeout_sec = 120
cpus = 1
memory = "1G"
{environment}
"""
TEST_SH = """#!/bin/bash
if [ "$(cat answer.txt)" = "$(cat /tests/expected.txt)" ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
"""
DOCKERFILE = "FROM heats-base:latest\nWORKDIR /app\nCOPY question.txt .\n"


def write_task(folder: Path, name: str = "answer", files: dict[str, str] | None = None, **tables: str) -> Path:
    """A task whose answer is 42; `files` replace or add, an empty one removes; `tables` adds lines to task.toml."""
    tables = {"root": "", "agent": "", "verifier": "", "environment": "", **tables}
    contents = {
        "instruction.md": "Write the answer to /app/answer.txt.\n",
        "task.toml": TASK_TOML.format(**tables),
        "environment/Dockerfile": DOCKERFILE,
        "environment/question.txt": "six times seven\n",
        "tests/test.sh": TEST_SH,
        "tests/expected.txt": "42\n",
        "solution/solve.sh": "#!/bin/bash\necho 42 >answer.txt\n",
        **(files or {}),
    }
    for path, text in contents.items():
        target = folder / name / path
        if text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    return folder / name


REWARD = "then echo 1; else echo 0; fi >/logs/verifier/reward.txt\n"


def write_separate(folder: Path, name: str = "separate") -> Path:
    """A verifier in an image of its own, which sees artifacts, what a collect hook made, and nothing else of the agent.

    The verifier fails if a file of the agent's image, its process or an excluded file is there.
    """
    checks = (
        '"$(cat answer.txt)" = "$(cat /tests/expected.txt)"',
        '"$(cat /data/count)" = 1',
        '"$MODE" = own',
        "! -e draft.tmp",
        "! -e /agents-own",
        '-z "$(pgrep -f "sleep 600")"',
        "-e /logs/artifacts/note",
    )
    files = {
        "instruction.md": "Write the answer to out/answer.txt in /app.\n",
        "environment/Dockerfile": f"{DOCKERFILE}RUN mkdir out && touch out/draft.tmp && echo here >/agents-own\n",
        "solution/solve.sh": "#!/bin/bash\necho 42 >out/answer.txt; sleep 600 &\necho said >/logs/artifacts/note\n",
        "tests/Dockerfile": "FROM heats-base:latest\nWORKDIR /app/out\nCOPY . /tests/\n",
        "tests/test.sh": "#!/bin/bash\nif " + " && ".join(f"[ {check} ]" for check in checks) + f"; {REWARD}",
    }
    root = 'artifacts = ["/data/count", { source = "/app/out", destination = "made", exclude = ["*.tmp"] }]'
    verifier = """environment_mode = "separate"
env = { MODE = "own" }
[[verifier.collect]]
command = "mkdir -p /data; ls /app/out/*.txt | wc -l >/data/count"
[verifier.environment]
memory_mb = 512
"""
    return write_task(folder, name, files, root=root, verifier=verifier)


def write_fresh(folder: Path, name: str = "fresh") -> Path:
    """A separate verifier without an image of its own: a fresh container of the agent's image gets the tests."""
    files = {
        "instruction.md": "Write the answer to answer.txt, which is all that counts.\n",
        "solution/solve.sh": "#!/bin/bash\ntouch /left; echo 42 >answer.txt\n",
        "tests/test.sh": f'#!/bin/bash\nif [ "$(cat answer.txt)" = 42 ] && [ ! -e /left ]; {REWARD}',
    }
    tables = {"root": 'artifacts = ["/app/answer.txt"]', "verifier": 'environment_mode = "separate"'}
    return write_task(folder, name, files, **tables)


BUG = "def total(prices, discount):\n    return sum(prices) * (100 + discount) / 100\n"
SHOP_TEST = """import unittest
from price import total


class PriceTest(unittest.TestCase):
    def test_no_discount(self):
        self.assertEqual(total([10, 20], 0), 30)

    def test_half_price(self):
        self.assertEqual(total([10, 20], 50), 15)
"""


def write_repository(folder: Path, name: str = "shop") -> Path:
    """A git repository with a bug, and a separate verifier that applies the diff which a collect hook makes."""
    start = "FROM heats-base:latest\nWORKDIR /repo\n"
    commit = "git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm base && git tag base\n"
    check = "from price import total; assert total([10, 20], 25) == 22.5"
    files = {
        "instruction.md": "A discount makes things in /repo more expensive. Fix it.\n",
        "environment/Dockerfile": f"{start}COPY price.py test_price.py ./\nRUN {commit}",
        "environment/price.py": BUG,
        "environment/test_price.py": SHOP_TEST,
        "environment/question.txt": "",
        "solution/solve.sh": "#!/bin/bash\nsed -i 's/100 + d/100 - d/' price.py\n",
        "tests/Dockerfile": f"{start}COPY . /tests/\nRUN cp /tests/price.py . && {commit}",
        "tests/price.py": BUG,
        "tests/test.sh": f'#!/bin/bash\nif git apply /logs/artifacts/model.patch && python3 -c "{check}"; {REWARD}',
    }
    hook = '[[verifier.collect]]\ncommand = "git diff base >/logs/artifacts/model.patch"\n'
    return write_task(folder, name, files, verifier=f'environment_mode = "separate"\n{hook}')


ASK = "python3 -c \"import urllib.request as u; print(u.urlopen('http://{}:{}/', timeout=20).read().decode(), end='')\""


def write_allowlisted(folder: Path, port: int, name: str = "allowlisted") -> Path:
    """A task that needs an allowed host; the solution takes the answer from there, and notes what else it reaches."""
    others = " ".join(("mirror.test", "other.test", "127.0.0.1"))
    files = {
        "solution/solve.sh": f"#!/bin/bash\n{ASK.format('a.b.mirror.test', port)} >answer.txt\n"
        f"for host in {others}; do {ASK.format('$host', port)} && echo $host >>reached; done\n",
        "tests/test.sh": '#!/bin/bash\nif [ "$(cat answer.txt)" = 42 ] && [ ! -e reached ]; ' + REWARD,
    }
    network = 'network_mode = "allowlist"\nallowed_hosts = ["a.test", "*.mirror.test"]'
    return write_task(folder, name, files, environment=network)


KINDS = (write_task, write_separate, write_fresh, write_repository)
"""A writer for each kind of task that needs no network."""


def write_service(folder: Path, name: str = "service") -> Path:
    """The verifier asks a server that the attempt has to leave running, and gives two rewards."""
    ask = 'import urllib.request as u; u.urlopen(\\"http://localhost:8099/\\")'
    rewards = '{\\"reward\\": $r, \\"extra\\": 0.5}'
    files = {
        "instruction.md": "Serve /app on port 8099.\n",
        "solution/solve.sh": "#!/bin/bash\nnohup python3 -m http.server 8099 >/dev/null 2>&1 &\nsleep 1\n",
        "tests/test.sh": f'#!/bin/bash\npython3 -c "{ask}" && r=1 || r=0\n'
        f'echo "{rewards}" >/logs/verifier/reward.json\n',
    }
    return write_task(folder, name, files)


FOR_PARITY = (write_task, write_service, write_separate, write_fresh, write_repository)
"""A writer for each task that Harbor and heats are compared on; all their instructions differ."""
