"""What a small model did of a run's votes and summaries, and how far it agreed with the large one."""

from collections.abc import Sequence

from core.sanitize import one_line
from heats.routing import AgreementShare
from heats.store.files import read_lines
from heats.store.records import RoutingLine
from heats.store.store import RunStore

_UNITS = {"votes": ("match", "matches"), "summaries": ("summary", "summaries")}


def routed(run: RunStore) -> list[str]:
    """One line for votes and one for summaries, if they were routed."""
    paths = sorted(run.directory.glob("tasks/*/routing.jsonl"))
    lines = [line for path in paths for line in read_lines(path, RoutingLine)]
    return [_line(run, kind, own) for kind in _UNITS if (own := [line for line in lines if line.kind == kind])]


def _line(run: RunStore, kind: str, lines: Sequence[RoutingLine]) -> str:
    routes = [line.route for line in lines if line.route]
    compared = sorted((line for line in lines if line.number), key=lambda line: line.number)
    config = run.manifest.identity.get("config", {})
    small = (config.get("judge_model" if kind == "votes" else "summarizer_model") or {}).get("name", "")
    found = AgreementShare.of([bool(line.agree) for line in compared])
    said = (
        f"{kind}: {one_line(small, 80) or 'the small model'} alone {routes.count('small')} of {len(routes)} "
        f"{_UNITS[kind][len(routes) != 1]}, both models {routes.count('both')}; agreement {found}"
    )
    switch = next((line for line in compared if line.switch), None)
    return said if switch is None else f"{said}; switched after comparison {switch.number}: {one_line(switch.why, 200)}"
