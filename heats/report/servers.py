"""The model servers' own statistics for a run, one line each."""

from collections.abc import Iterable
from dataclasses import dataclass

from agents.llm.counters import Counters
from heats import formatting as say
from heats.store.events import RunEvent
from heats.view.live_model import number, word


@dataclass(frozen=True, slots=True)
class Served:
    """One server, across all processes that worked on the run. Its counters include requests from other clients."""

    model: str
    version: str
    seconds: float
    counted: Counters

    def __str__(self) -> str:
        counted, seconds = self.counted, max(self.seconds, 1e-9)
        parts = [
            f"{say.percent(counted.hit_rate)} of prompt tokens from its prefix cache",
            f"{say.count(round(counted.prompt_tokens / seconds))} prompt and "
            f"{say.count(round(counted.generation_tokens / seconds))} generated tokens a second",
            f"{say.several(counted.requests, 'request')} in {say.duration(self.seconds)}",
        ]
        if counted.preemptions:
            parts.append(f"{say.several(counted.preemptions, 'time')} out of KV cache")
        version = f" (vLLM {self.version})" if self.version else ""
        return f"Server of {self.model}{version}, by its own count: {', '.join(parts)}"


def served(events: Iterable[RunEvent]) -> list[Served]:
    """The servers of a run, from its events."""
    found: dict[str, Served] = {}
    for event in events:
        if event.kind != "server":
            continue
        name, data = word(event.data, "model"), event.data
        counted = Counters(**{key: int(number(data, key)) for key in Counters.model_fields})
        known = found.get(name, Served(name, "", 0.0, Counters()))
        seconds = known.seconds + number(data, "seconds")
        found[name] = Served(name, word(data, "vllm") or known.version, seconds, known.counted + counted)
    return list(found.values())
