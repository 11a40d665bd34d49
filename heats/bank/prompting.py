"""What an attempt reads of a bank."""

from collections.abc import Sequence

from core.text import fill
from heats.bank.asking import listed, nonce_of
from heats.bank.config import BankConfig
from heats.bank.entry import Entry


def dealt(entries: Sequence[Entry], config: BankConfig, index: int, rollouts: int) -> list[Entry]:
    """The entries of one rollout of a heat: those of kinds that are spread go to the rollouts in turn.

    Args:
        entries: those of the task, the best first.
        config: which kinds are spread, and how many entries a rollout reads.
        index: number of the rollout in its heat.
        rollouts: number of rollouts in a heat.
    """
    turns = [entry for entry in entries if entry.kind in config.spread]
    mine = {entry.id for entry in turns[index % rollouts :: rollouts]}
    shown = [entry for entry in entries if entry.kind not in config.spread or entry.id in mine]
    return shown[: config.entries]


def prompt_of(entries: Sequence[Entry], config: BankConfig, seed: int, commit: str) -> str:
    """The section of an attempt's first message with these entries, quoted as material; empty without any.

    Args:
        entries: the best first; those beyond `config.chars` are left out.
        config: the template and the space.
        seed: makes the marks around the entries.
        commit: the task's commit, so that notes on another one say so.
    """
    shown, room = [], config.chars
    for line in listed(entries, config.chars // 2):
        size = sum(map(len, line.values()))
        if size <= room:
            room -= size
            shown.append(line)
    if not shown:
        return ""
    nonce = nonce_of(seed, *(text for line in shown for text in line.values()))
    return fill(config.prompt, nonce=nonce, entries=shown, commit=commit[:12]).strip()
