"""How often does a model choose the resolving patch of a pair from facts, summaries, diffs, and by running code?

    python -m benchmarks.judged_pairs --rows rows.jsonl --attempts attempts.jsonl --executed executed.jsonl \
        --out runs/pairs --base-url http://127.0.0.1:8123/v1 --model NAME --view diff

Each pair is a resolving and a failing patch of one instance, preferably one that executed evidence leaves equal
(`--executed`: the cache of `benchmarks.real_attempts`). heats' own judge votes once in each presentation order, without
evidence. The data has patches but no trajectories. Views:

- `facts`: the summary that heats makes without a model: the issue, changed files and numbers of lines.
- `summary`: a summary that heats' summarizer has a model write from the issue and the patch. With `--summary-url`
  another server writes them, so that the judge never sees a diff.
- `diff`: patches without comments.
- `probe`: patches, and code that the judge has executed in Docker (scripts, then inquiries).

A pair counts 1 if both votes name the resolving patch, 0.5 if the orders disagree or a vote cannot be read. Intervals
resample instances. Tokens are what the server reports. Outcomes (`resolved`) are used only to form and score pairs: the
order within a pair is random, and no request contains them. Runs resume; `--report` only prints the table.
"""

import argparse
import asyncio
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agents.llm.ledger import Usage  # noqa: E402
from agents.trajectory import Exit, Trajectory  # noqa: E402
from benchmarks.real_attempts import LIMITS, Cache, Pool, read_pools  # noqa: E402
from benchmarks.real_attempts_scores import make_case  # noqa: E402
from core.record import Record  # noqa: E402
from envs.base import Task  # noqa: E402
from envs.swebench import SweBenchEnv, SweBenchSource  # noqa: E402
from envs.swebench.rows import image_name, make_instance, read_rows  # noqa: E402
from heats.config import HeatsConfig, load_config  # noqa: E402
from heats.importing.attempts import ImportedAttempt  # noqa: E402
from heats.importing.read import summary_key  # noqa: E402
from heats.importing.select import Contest, play_selection  # noqa: E402
from heats.runner.run import RunRequest  # noqa: E402
from heats.store.executed_order import places  # noqa: E402
from heats.store.store import RunStore  # noqa: E402
from summarizer.fallback import harness_summary  # noqa: E402
from tournament.base import Vote  # noqa: E402

VIEWS = {"facts": "summary", "summary": "summary", "diff": "patch", "probe": "probe"}
TRUSTED = ("graded here", "source report")
COLUMNS = (
    "view", "pairs", "right, %", "95 %", "evidence equal, %", "undecided", "requests",
    "prompt tokens per pair", "completion tokens per pair", "decided after script / in sandbox",
)  # fmt: skip
SAMPLES = 4000
PATIENCE_S = 24 * 3600.0
"""Time limit of one request, which a person may answer."""


class Pair(Record):
    """Two attempts at one instance, one of which resolves it.

    Attributes:
        attempts: attempt IDs, in random order.
        equal: whether executed evidence ranks both alike; False if none was executed.
    """

    id: str
    instance: str
    attempts: tuple[str, str]
    equal: bool


def pairs_of(pool: Pool, executed: Sequence[Mapping[str, Any]], rng: random.Random) -> list[Pair]:
    """All pairs of different changes with trusted, opposite outcomes, in random order.

    Copies of the reference and patches that change no line are left out.

    Args:
        pool: the attempts at one instance.
        executed: what was executed on them.
        rng: source of randomness.
    """
    case = make_case(pool, executed)
    place = places(case.columns, case.broken, case.written) if case.existing else {}
    trusted = [one for one in pool.attempts if one["label_trust"] in TRUSTED and not one["equals_reference"]]
    names = [one["attempt_id"] for one in trusted if case.sizes.get(one["attempt_id"])]
    different = list({case.keys[name]: name for name in names}.values())
    found = []
    for right in (name for name in different if case.resolved[name]):
        for wrong in (name for name in different if not case.resolved[name]):
            first, second = rng.sample([right, wrong], 2)
            equal = bool(place) and place[case.keys[right]] == place[case.keys[wrong]]
            found.append(Pair(id="", instance=pool.instance, attempts=(first, second), equal=equal))
    return rng.sample(found, len(found))


def choose_pairs(
    pools: Sequence[Pool], executed: Mapping[str, Sequence[Mapping[str, Any]]], count: int, seed: int
) -> list[Pair]:
    """Choose pairs from all instances in turn, first those with equal evidence, then those with unused attempts.

    Args:
        pools: the attempts, by instance.
        executed: lines of the cache, by instance.
        count: number of pairs.
        seed: seed of the choice.
    """
    rng = random.Random(seed)
    remaining = {pool.instance: pairs_of(pool, executed.get(pool.instance, ()), rng) for pool in pools}
    used: Counter[str] = Counter()
    chosen: list[Pair] = []
    while len(chosen) < count and any(remaining.values()):
        for own in [own for own in remaining.values() if own][: count - len(chosen)]:
            pair = min(own, key=lambda one: (not one.equal, sum(used[name] for name in one.attempts)))
            own.remove(pair)
            used.update(pair.attempts)
            chosen.append(pair.model_copy(update={"id": f"pair-{len(chosen):02}-{pair.instance}"}))
    return chosen


def env_of(pairs: Sequence[Pair], rows: Mapping[str, Any]) -> SweBenchEnv:
    """One task per pair: its instance under the pair's ID."""
    own = [rows[pair.instance] | {"instance_id": pair.id, "image": image_name(rows[pair.instance])} for pair in pairs]
    return SweBenchEnv(SweBenchSource(source="judged-pairs"), [make_instance(row) for row in own])


def contest(pair: Pair, view: str, task: Task, pool: Pool, config: HeatsConfig) -> Contest:
    """The pair as two imported attempts; a model writes a summary of those with a trajectory, unless they have one.

    Args:
        pair: the pair.
        view: a key of `VIEWS`.
        task: the pair's task.
        pool: its instance's attempts.
        config: the view's configuration.
    """
    done = Trajectory(id="", task_id="", agent="imported", model="", seed=0, exit=Exit(kind="submitted"))
    patches = {name: pool.patches[name].data for name in pair.attempts}
    attempts = tuple(
        ImportedAttempt(
            source=name,
            patch=patch,
            trajectory=done if view in ("facts", "summary") else None,
            summary=harness_summary(done, task.statement, patch) if view == "facts" else None,
            summarized_by=summary_key(config.identity()),
        )
        for name, patch in patches.items()
    )
    return Contest(pair.id, task.statement, attempts)


def configuration(view: str, asked: argparse.Namespace) -> HeatsConfig:
    """One vote per presentation order and nothing executed but by the judge.

    Args:
        view: a key of `VIEWS`.
        asked: command-line options.
    """
    keys: dict[str, Any] = {
        "select_k": 1, "seed": asked.seed, "workers": asked.workers, "evidence": False, "regression": False,
        "cross_execution": False, "grade": False, "sandbox.backend": "docker", "tournament.selector": "rtv",
        "tournament.group_size": 2, "tournament.votes": 2, "tournament.early_stop": "never",
        "tournament.judge.view": VIEWS[view], "tournament.judge.votes_from": "samples",
    }  # fmt: skip
    keys |= {f"sandbox.limits.{name}": getattr(LIMITS, name) for name in ("memory_mb", "cpus", "pids", "tmp_mb")}
    urls = {"model": asked.base_url, "summarizer_model": asked.summary_url}
    for role, url in urls.items():
        if url is not None:
            model = {"name": asked.model, "base_url": url, "max_concurrency": 64}
            model |= {"request_timeout_s": PATIENCE_S, "call_deadline_s": PATIENCE_S}
            keys |= {f"{role}.{name}": value for name, value in model.items()}
    return load_config(asked.config, keys)


async def judge(
    view: str, pairs: Sequence[Pair], pools: Mapping[str, Pool], env: SweBenchEnv, asked: argparse.Namespace
) -> None:
    """Have every pair judged in one view, unless it has been.

    Args:
        view: a key of `VIEWS`.
        pairs: the pairs.
        pools: attempts by instance.
        env: the pairs' tasks, in the same order.
        asked: command-line options.
    """
    config, directory, tasks = configuration(view, asked), asked.out / view, env.tasks()
    request = RunRequest(
        command="benchmark", directory=directory, config=config, env=env, sandboxes=view == "probe", extend=True
    )
    contests = [contest(one, view, task, pools[one.instance], config) for one, task in zip(pairs, tasks, strict=True)]
    await play_selection(request, contests)


def points(votes: Sequence[Vote], right: str) -> float:
    """Score of one pair, from 0 to 1.

    Args:
        votes: one vote per presentation order.
        right: candidate ID of the resolving patch.
    """
    named = {vote.choice for vote in votes}
    return 0.5 if len(named) != 1 or None in named else float(named == {right})


def interval(by_instance: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean score, resampling instances."""
    rng, groups = random.Random(0), list(by_instance.values())
    means = sorted(fmean(one for group in rng.choices(groups, k=len(groups)) for one in group) for _ in range(SAMPLES))
    return means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES)]


def row(view: str, pairs: Sequence[Pair], pools: Mapping[str, Pool], store: RunStore) -> str:
    """A line of the table.

    Args:
        view: a key of `VIEWS`.
        pairs: the judged pairs.
        pools: attempts by instance.
        store: the view's run.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    equal, ran = [], Counter[str]()
    for pair in pairs:
        resolved = {one["attempt_id"]: one["resolved"] for one in pools[pair.instance].attempts}
        right = f"heat-0/rollout-{[resolved[name] for name in pair.attempts].index(True):02}"
        votes = judged(store, pair)
        scores[pair.instance].append(points(votes, right))
        equal += [scores[pair.instance][-1]] if pair.equal else []
        ran[votes[0].ran] += 1
    ids, everything = {pair.id for pair in pairs}, [one for own in scores.values() for one in own]
    charges = [one for one in store.charges() if one.task in ids]
    spent = sum((one.usage for one in charges), Usage())
    start, end = interval(scores)
    figures = [
        view, str(len(everything)), f"{100 * fmean(everything):.1f}", f"{100 * start:.0f} - {100 * end:.0f}",
        f"{100 * fmean(equal):.1f} of {len(equal)}" if equal else "-", str(everything.count(0.5)), str(spent.calls),
        f"{spent.prompt_tokens / len(pairs):.0f}", f"{spent.completion_tokens / len(pairs):.0f}",
        f"{ran['script']} / {ran['sandbox']}",
    ]  # fmt: skip
    return f"| {' | '.join(figures)} |"


def judged(store: RunStore, pair: Pair) -> tuple[Vote, ...]:
    """The votes on a pair; none before it is decided."""
    bracket = store.task(pair.id).bracket(0)
    return bracket.matches[0].votes if bracket is not None and bracket.matches else ()


def table(pairs: Sequence[Pair], pools: Mapping[str, Pool], out: Path) -> str:
    """All views that were judged, over the pairs that were judged in all of them."""
    stores = {view: RunStore(out / view) for view in VIEWS if (out / view / "run.json").exists()}
    common = [pair for pair in pairs if all(judged(store, pair) for store in stores.values())]
    if not stores or not common:
        return "no pair is judged in every view"
    head = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join([*head, *(row(view, common, pools, store) for view, store in stores.items())])


def stored_pairs(pools: Sequence[Pool], asked: argparse.Namespace) -> list[Pair]:
    """The pairs in `--out`, which are chosen by the first call."""
    stored, kind = asked.out / "pairs.json", TypeAdapter(list[Pair])
    if not stored.exists():
        executed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for line in Cache(asked.executed).lines.values() if asked.executed else ():
            executed[line["instance"]].append(line)
        asked.out.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(kind.dump_json(choose_pairs(pools, executed, asked.count, asked.seed), indent=1))
    return kind.validate_json(stored.read_bytes())[: asked.count]


def local_images() -> set[str]:
    """Names of the images in the local Docker daemon."""
    command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


async def main() -> None:
    """Choose pairs, have them judged, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="*", help="default: all with a local image and both outcomes")
    parser.add_argument("--rows", type=Path, required=True, help="SWE-bench rows")
    parser.add_argument("--attempts", type=Path, required=True, help="instance_id, model_patch, resolved in each line")
    parser.add_argument("--executed", type=Path, help="cache of benchmarks.real_attempts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base-url", help="OpenAI-compatible server of the judge")
    parser.add_argument("--summary-url", help="server that writes summaries; default: the judge's")
    parser.add_argument("--model", default="strong", help="name of the model at both servers")
    parser.add_argument("--view", choices=VIEWS, action="append", help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="sandboxes at once; judges two pairs more at once")
    parser.add_argument("--report", action="store_true", help="judge nothing")
    parser.add_argument("-c", "--config", action="append", default=[])
    asked = parser.parse_args()
    rows, images = {row["instance_id"]: row for row in read_rows(str(asked.rows), "test").rows}, local_images()
    pools = read_pools(asked.attempts, asked.instances)
    pools = [one for one in pools if one.instance in rows and image_name(rows[one.instance]) in images]
    pairs, by_instance = stored_pairs(pools, asked), {one.instance: one for one in pools}
    env = env_of(pairs, rows)
    for view in () if asked.report else asked.view or VIEWS:
        await judge(view, pairs, by_instance, env, asked)
    print(table(pairs, by_instance, asked.out))


if __name__ == "__main__":
    asyncio.run(main())
