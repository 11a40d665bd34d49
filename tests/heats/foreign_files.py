"""Small files in the formats of other tools: each function writes one or a few attempts below a folder."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ID = "shop__shop-1"


def diff(line: str = "fixed") -> str:
    return f"diff --git a/note.txt b/note.txt\n--- a/note.txt\n+++ b/note.txt\n@@ -1 +1 @@\n-old\n+{line}\n"


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lines(path: Path, *rows: Any) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def predictions(folder: Path) -> None:
    row = {"instance_id": ID, "model_name_or_path": "m", "model_patch": diff()}
    write(folder / "preds.json", {ID: row, "shop__shop-2": {**row, "instance_id": "shop__shop-2", "model_patch": ""}})
    lines(folder / "all_preds.jsonl", row)  # repeats the first one


def mini_1(folder: Path) -> None:
    said = [("system", "You are ..."), ("user", "Fix it"), ("assistant", "look\n```bash\ncat note.txt\n```")]
    said += [("user", "<returncode>1</returncode>\n<output>old</output>"), ("assistant", "```bash\nsubmit\n```")]
    messages = [{"role": role, "content": text, "timestamp": 1790000000.5} for role, text in (*said, ("user", diff()))]
    info = {"exit_status": "Submitted", "submission": diff(), "mini_version": "1.17.4"}
    document = {"info": info, "messages": messages, "trajectory_format": "mini-swe-agent-1", "instance_id": ID}
    write(folder / ID / f"{ID}.traj.json", document)


def mini_2(folder: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "cat note.txt"}'}}
    messages = [
        {"role": "user", "content": "Fix it"},
        {
            "role": "assistant",
            "content": "look",
            "tool_calls": [call],
            "extra": {"actions": [{"command": "cat note.txt"}]},
        },
        {"role": "tool", "tool_call_id": "c1", "content": "old", "extra": {"returncode": 0}},
        {"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": diff()}},
    ]
    info = {"exit_status": "Submitted", "submission": diff(), "mini_version": "2.4.6"}
    document = {"info": info, "messages": messages, "trajectory_format": "mini-swe-agent-1.1", "instance_id": ID}
    write(folder / ID / f"{ID}.traj.json", document)
    write(folder / "preds.json", {ID: {"instance_id": ID, "model_name_or_path": "m", "model_patch": diff()}})


def swe_agent_record(instance: str = "", patch: str = "") -> dict[str, Any]:
    settings = {"problem_statement": {"id": instance, "text": "It is old."}, "agent": {"model": {"name": "m"}}}
    step = {"action": "cat note.txt", "observation": "old\n", "response": "look", "thought": "look", "state": {}}
    history = [
        {"role": "system", "content": "You are ..."},
        {"role": "user", "content": [{"type": "text", "text": "It"}]},
    ]
    return {
        "trajectory": [step],
        "history": [*history, {"role": "assistant", "content": "look"}],
        "info": {"exit_status": "submitted", "submission": patch, "model_stats": {"api_calls": 1, "tokens_sent": 9}},
        "environment": "main",
        **({"replay_config": json.dumps(settings)} if instance else {}),
    }


def swe_agent(folder: Path) -> None:
    """A batch that was stopped before preds.json was merged."""
    write(folder / ID / f"{ID}.traj", swe_agent_record(ID, diff()))
    row = {"model_name_or_path": "m", "instance_id": ID, "model_patch": diff()}
    write(folder / ID / f"{ID}.pred", row)
    write(folder / ID / f"{ID}.patch", diff())
    write(folder / ID / f"{ID}.config.yaml", "agent: {}\n")


def swe_agent_merged(folder: Path) -> None:
    write(folder / ID / f"{ID}.traj", swe_agent_record(patch=diff()))
    write(folder / "preds.json", {ID: {"model_name_or_path": "m", "instance_id": ID, "model_patch": diff()}})


def swe_agent_0(folder: Path) -> None:
    """All records in one folder, without instances, which only the predictions beside them name."""
    write(folder / f"{ID}.traj", swe_agent_record(patch=diff()))
    lines(folder / "all_preds.jsonl", {"model_name_or_path": "m", "instance_id": ID, "model_patch": diff()})


OPENHANDS_EVENTS = [
    {"id": 0, "source": "agent", "action": "system", "args": {"content": "You are ..."}},
    {"id": 1, "source": "user", "action": "message", "args": {"content": "It is old."}},
    {"id": 2, "source": "agent", "action": "run", "args": {"command": "cat note.txt", "thought": "look"}},
    {
        "id": 3,
        "source": "agent",
        "cause": 2,
        "observation": "run",
        "content": "old",
        "extras": {"metadata": {"exit_code": 0}},
    },
    {"id": 4, "source": "environment", "observation": "agent_state_changed", "content": "", "extras": {}},
    {"id": 5, "source": "agent", "action": "finish", "args": {"final_thought": "done"}},
]
OPENHANDS_TYPED = [
    {"kind": "SystemPromptEvent", "source": "agent", "system_prompt": {"type": "text", "text": "You are ..."}},
    {
        "kind": "MessageEvent",
        "source": "user",
        "llm_message": {"role": "user", "content": [{"type": "text", "text": "It is old."}]},
    },
    {
        "kind": "ActionEvent",
        "source": "agent",
        "thought": [{"type": "text", "text": "look"}],
        "action": {"kind": "TerminalAction", "command": "cat note.txt"},
        "tool_name": "terminal",
        "tool_call_id": "c1",
        "tool_call": {"id": "c1", "name": "terminal", "arguments": '{"command": "cat note.txt"}'},
    },
    {
        "kind": "ObservationEvent",
        "source": "environment",
        "tool_call_id": "c1",
        "tool_name": "terminal",
        "observation": {"kind": "TerminalObservation", "content": [{"type": "text", "text": "old"}], "exit_code": 0},
    },
]


def openhands(folder: Path) -> None:
    gold = {"patch": diff("GOLD"), "problem_statement": "It is old."}
    result = {"test_result": {"git_patch": diff(), "report": {"resolved": True}}, "instance": gold}
    lines(folder / "output.jsonl", {"instance_id": ID, **result, "history": OPENHANDS_EVENTS, "error": None})
    lines(folder / "output.swebench.jsonl", {"instance_id": ID, "model_name_or_path": "m", "model_patch": diff()})


def openhands_pairs(folder: Path) -> None:
    pairs = [[OPENHANDS_EVENTS[1], {"observation": "null", "content": "", "extras": {}}], OPENHANDS_EVENTS[2:4]]
    lines(folder / "output.jsonl", {"instance_id": ID, "test_result": {"git_patch": diff()}, "history": pairs})


def openhands_sdk(folder: Path) -> None:
    row = {"instance_id": ID, "attempt": 1, "test_result": {"git_patch": diff()}, "history": OPENHANDS_TYPED}
    lines(folder / "output.critic_attempt_1.jsonl", row)
    lines(folder / "output.jsonl", row)  # repeats the best of the attempts


def openhands_resolver(folder: Path) -> None:
    issue = {"owner": "shop", "repo": "shop", "number": 1, "title": "Old", "body": "It is old."}
    row = {"issue": issue, "issue_type": "issue", "base_commit": "a" * 40, "git_patch": diff(), "success": True}
    lines(folder / "output.jsonl", {**row, "history": OPENHANDS_EVENTS})


def openhands_trajectory(folder: Path) -> None:
    write(folder / ID / f"{ID}.json", OPENHANDS_EVENTS)
    write(folder / ID / f"{ID}.patch", diff())


ATIF: dict[str, Any] = {
    "schema_version": "ATIF-v1.7",
    "session_id": "s1",
    "agent": {"name": "other", "version": "1", "model_name": "m"},
    "steps": [
        {"step_id": 1, "source": "user", "message": "It is old."},
        {
            "step_id": 2,
            "source": "agent",
            "message": "look",
            "tool_calls": [{"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "cat note.txt"}}],
            "observation": {"results": [{"source_call_id": "c1", "content": "old", "extra": {"exit_code": 0}}]},
        },
    ],
}


def harbor(folder: Path) -> None:
    """A job: its own result, and a trial with the agent's own record beside Harbor's version of it."""
    write(folder / "result.json", {"n_total_trials": 1, "stats": {}})
    trial = folder / "shop__a1b2c3"
    write(trial / "result.json", {"trial_name": "shop__a1b2c3", "task_name": f"shops/{ID}", "verifier_result": {}})
    write(trial / "agent" / "trajectory.json", ATIF)
    write(trial / "agent" / "mini-swe-agent.trajectory.json", {"messages": [], "info": {}})


def inspect_sample(name: str = ID, epoch: int = 1) -> dict[str, Any]:
    call = {"id": "c1", "function": "bash", "arguments": {"cmd": "attachment://abc"}, "type": "function"}
    parts = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "look"}]
    return {
        "id": name,
        "epoch": epoch,
        "input": "It is old.",
        "target": "GOLD",
        "messages": [
            {"role": "user", "content": "It is old."},
            {"role": "assistant", "content": parts, "tool_calls": [call]},
            {"role": "tool", "content": "old", "tool_call_id": "c1", "function": "bash"},
        ],
        "attachments": {"abc": "cat note.txt"},
        "scores": {"swe_bench_scorer": {"value": 1.0, "metadata": {"model_patch": diff()}}},
        "metadata": {"patch": diff("GOLD")},
        "model_usage": {"m": {"input_tokens": 9, "output_tokens": 2}},
    }


INSPECT_HEAD = {"version": 2, "status": "success", "eval": {"model": "openai/m", "task": "swe_bench"}}


def inspect_json(folder: Path) -> None:
    write(folder / "log.json", {**INSPECT_HEAD, "samples": [inspect_sample(epoch=epoch) for epoch in (1, 2)]})


def inspect_eval(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(INSPECT_HEAD))
        archive.writestr(f"samples/{ID}_epoch_1.json", json.dumps(inspect_sample()))


def trae_candidates(folder: Path) -> None:
    patches = [diff("fixed"), diff("wrong")]
    row = {"instance_id": ID, "issue": "It is old.", "patches": patches, "success_id": [1, 0], "regressions": [[], []]}
    lines(folder / "candidates.jsonl", row)


def trae_run(folder: Path) -> None:
    call = {"call_id": "c1", "name": "bash", "arguments": {"command": "cat note.txt"}}
    step = {"step_number": 1, "llm_response": {"content": "look"}, "tool_calls": [call]}
    step["tool_results"] = [{"call_id": "c1", "success": True, "result": "old", "error": None}]
    record = {"task": "It is old.", "model": "m", "llm_interactions": [], "agent_steps": [step], "success": True}
    write(folder / ID / f"{ID}.json", record)
    write(folder / ID / f"{ID}.patch", diff())
    write(folder / "predictions.json", [{"instance_id": ID, "model_name_or_path": "trae-agent", "model_patch": diff()}])


def multi_swe_bench(folder: Path) -> None:
    lines(folder / "fix.jsonl", {"org": "shop", "repo": "shop", "number": 1, "fix_patch": diff()})


def swe_bench_pro(folder: Path) -> None:
    write(folder / "patches.json", [{"instance_id": ID, "patch": diff(), "prefix": "m"}])


def patches(folder: Path) -> None:
    write(folder / "a.diff", diff())
    write(folder / "b.patch", diff("odd"))


SHAPES: dict[str, Callable[[Path], None]] = {
    "SWE-bench predictions": predictions,
    "mini-swe-agent 1": mini_1,
    "mini-swe-agent 2": mini_2,
    "SWE-agent 0.x": swe_agent_0,
    "SWE-agent 1, stopped batch": swe_agent,
    "SWE-agent 1, merged batch": swe_agent_merged,
    "OpenHands evaluation, before 0.10": openhands_pairs,
    "OpenHands evaluation, 0.x": openhands,
    "OpenHands evaluation, SDK 1.x": openhands_sdk,
    "OpenHands resolver": openhands_resolver,
    "OpenHands trajectory": openhands_trajectory,
    "Harbor job": harbor,
    "inspect_ai log, JSON": inspect_json,
    "inspect_ai log, .eval": inspect_eval,
    "Trae Agent selector": trae_candidates,
    "Trae Agent evaluation": trae_run,
    "Multi-SWE-bench predictions": multi_swe_bench,
    "SWE-bench Pro predictions": swe_bench_pro,
    "patches": patches,
}
