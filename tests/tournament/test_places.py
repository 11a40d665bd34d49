"""Who is kept: nobody unseen while an equal is left out, for any N, G, K, losses, copies and evidence."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tournament.base import Candidate, Match
from tournament.bracket import MatchKey, plan_rounds, resolve
from tournament.slots import Slot, equal_changes, merged, players
from tournament.standings import rank, standings

thorough = hypothesis_settings(max_examples=150, deadline=None)
Judge = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Played:
    """A finished tournament."""

    slots: Sequence[Slot]
    rounds: Sequence[Sequence[Match]]
    ranking: tuple[str, ...]
    kept: tuple[str, ...]
    judged: int

    def known(self) -> dict[str, Candidate]:
        return {slot.id: slot for slot in self.slots if isinstance(slot, Candidate)}

    def results(self) -> list[tuple[str, str]]:
        """Winner and loser of every pair of one evidence class that met before a judge."""
        rank_of = {name: one.evidence_rank for name, one in self.known().items()}
        matches = [match for matches in self.rounds for match in matches if match.decided_by == "votes"]
        pairs = [(match.winner, one) for match in matches for one in match.contestants if one != match.winner]
        return [(winner, loser) for winner, loser in pairs if rank_of[winner] == rank_of[loser]]


def play(slots: Sequence[Slot], group: int, keep: int, judge: Judge) -> Played:
    """Play to the end; `judge` picks the winner among ids."""
    plan, judged = plan_rounds(len(slots), group, keep), dict[MatchKey, Match]()
    while (state := resolve(slots, plan, judged, keep)).open:
        assert state.ready, "nothing can be judged, and nothing is decided"
        for (name, ids), _ in state.ready.items():
            judged[name, ids] = Match(id=name, contestants=ids, winner=judge(ids), decided_by="votes")
    ranking = rank(slots, state.rounds, [slot.id for slot in slots if isinstance(slot, Candidate)])
    eligible = sum(isinstance(slot, Candidate) and slot.eligible for slot in slots)
    return Played(slots, state.rounds, ranking, ranking[: min(keep, eligible)], len(judged))


def better(quality: Mapping[str, float]) -> Judge:
    return lambda ids: max(ids, key=quality.__getitem__)


@st.composite
def fields(draw: st.DrawFn, most: int = 20) -> list[Slot]:
    """Slots with lost candidates, copies, evidence classes, and candidates without a submission."""
    slots: list[Slot] = []
    for index in range(draw(st.integers(1, most))):
        present = st.builds(
            Candidate,
            id=st.just(f"r{index:02}"),
            summary=st.just(""),
            evidence_rank=st.sampled_from([0, 0, 0, 1, 3]),
            patch_key=st.sampled_from(["", "", "", "same", "other"]),
            eligible=st.sampled_from([True, True, True, True, False]),
        )
        slots.append(draw(st.one_of(present, present, present, st.none())))
    return slots


sizes = {"group": st.integers(2, 5), "keep": st.integers(1, 20), "luck": st.integers(0, 10**6)}


def tossed(luck: int) -> Judge:
    return random.Random(luck).choice


@thorough
@given(slots=fields(), **sizes)
def test_nobody_is_kept_unseen_while_an_equal_is_left_out(slots, group, keep, luck) -> None:
    ended = play(slots, group, keep, tossed(luck))
    playing = {one.id: one for one in players(slots)}
    met = {name for pair in ended.results() for name in pair}
    for kept in set(ended.kept) & set(playing):
        rivals = [one for one in playing.values() if one.evidence_rank == playing[kept].evidence_rank]
        assert kept in met or all(one.id in ended.kept for one in rivals)


@thorough
@given(slots=fields(), **sizes)
def test_nobody_is_left_out_unseen_while_an_equal_is_kept(slots, group, keep, luck) -> None:
    ended = play(slots, group, keep, tossed(luck))
    playing = {one.id: one for one in players(slots)}
    met = {name for pair in ended.results() for name in pair}
    for name in set(playing) - set(ended.kept):
        rivals = [one for one in playing.values() if one.evidence_rank == playing[name].evidence_rank]
        assert name in met or not any(one.id in ended.kept for one in rivals)


@thorough
@given(slots=fields(), **sizes)
def test_nobody_is_ranked_before_a_candidate_it_lost_to(slots, group, keep, luck) -> None:
    ended = play(slots, group, keep, tossed(luck))
    place = {name: index for index, name in enumerate(ended.ranking)}
    assert all(place[winner] < place[loser] for winner, loser in ended.results())


@thorough
@given(slots=fields(), **sizes)
def test_nobody_who_only_had_byes_is_ranked_before_a_winner_of_its_class(slots, group, keep, luck) -> None:
    ended = play(slots, group, keep, tossed(luck))
    playing, found = players(slots), standings(players(slots), ended.rounds)
    place = {name: index for index, name in enumerate(ended.ranking)}
    for one, other in permutations(playing, 2):
        unbeaten_winner = found[one.id].wins > 0 and not found[one.id].victors
        if unbeaten_winner and one.evidence_rank == other.evidence_rank and not found[other.id].played:
            assert place[one.id] < place[other.id]


@thorough
@given(slots=fields(), **sizes)
def test_k_are_kept_by_evidence_first_and_none_without_anything_to_hand_over(slots, group, keep, luck) -> None:
    ended = play(slots, group, keep, tossed(luck))
    known, out = ended.known(), equal_changes(slots)
    eligible = [one for one in known.values() if one.eligible]
    ranks = [known[name].evidence_rank for name in ended.ranking if known[name].eligible]
    assert sorted(ended.ranking) == sorted(known)
    assert len(ended.kept) == min(keep, len(eligible)) and all(known[name].eligible for name in ended.kept)
    assert ranks == sorted(ranks, reverse=True)
    assert not {name for pair in ended.results() for name in pair} & {
        *out,
        *(n for n in known if not known[n].eligible),
    }
    assert sum(map(len, merged(slots).values())) == len(out)


@thorough
@given(slots=fields(), **sizes)
def test_a_judge_without_error_keeps_the_best_and_ranks_it_first_of_those_it_met(slots, group, keep, luck) -> None:
    playing = players(slots)
    if not playing:
        return
    quality = {one.id: number for number, one in enumerate(random.Random(luck).sample(playing, len(playing)))}
    ended = play(slots, group, keep, better(quality))
    best = max(playing, key=lambda one: (one.evidence_rank, quality[one.id]))
    assert best.id in ended.kept
    assert keep > 1 or ended.ranking[0] == best.id
    found = standings(playing, ended.rounds)
    assert found[ended.ranking[0]].victors == []


@thorough
@given(slots=fields(), data=st.data(), **sizes)
def test_the_matches_do_not_depend_on_what_was_known_first(slots, group, keep, luck, data) -> None:
    """Candidates arrive one by one in any order; results depend only on who meets, as with stored votes."""
    judge = lambda ids: min(ids, key=lambda name: random.Random(f"{luck} {name} {sorted(ids)}").random())  # noqa: E731
    plan, judged = plan_rounds(len(slots), group, keep), dict[MatchKey, Match]()
    seen: list[Slot] = ["pending"] * len(slots)
    for index in data.draw(st.permutations(range(len(slots)))):
        seen[index] = slots[index]
        while ready := {key: one for key, one in resolve(seen, plan, judged, keep).ready.items() if key not in judged}:
            for name, ids in ready:
                judged[name, ids] = Match(id=name, contestants=ids, winner=judge(ids), decided_by="votes")
    assert resolve(seen, plan, judged, keep).rounds == play(slots, group, keep, judge).rounds


def gain(slots: Sequence[Slot], group: int, keep: int, rng: random.Random) -> float | None:
    """How much better than average the kept are, with an error-free judge; None if all are kept."""
    playing = [one.id for one in players(slots)]
    if len(playing) <= keep:
        return None
    quality = dict(zip(playing, rng.sample(range(len(playing)), len(playing)), strict=True))
    kept = play(slots, group, keep, better(quality)).kept
    return fmean(quality[name] for name in kept) - fmean(quality.values())


@pytest.mark.parametrize("group", [2, 3, 4, 5])
@pytest.mark.parametrize("count", range(2, 7))
def test_the_kept_are_no_worse_than_k_drawn_at_random(count, group) -> None:
    """Exact: the mean over all orders of strength, with an error-free judge."""
    slots = [Candidate(id=f"{index}", summary="") for index in range(count)]
    for keep in range(1, count + 1):
        orders = [{str(index): value for index, value in enumerate(values)} for values in permutations(range(count))]
        kept = [fmean(quality[name] for name in play(slots, group, keep, better(quality)).kept) for quality in orders]
        assert fmean(kept) >= (count - 1) / 2 - 1e-9, (count, group, keep)


@pytest.mark.parametrize("group", [2, 3, 4, 5])
@pytest.mark.parametrize(("count", "keep"), [(9, 2), (9, 5), (12, 4), (15, 8), (20, 3), (20, 12)])
def test_the_kept_of_larger_fields_with_losses_and_copies_are_no_worse_than_drawn(count, keep, group) -> None:
    rng = random.Random(count * 10 + group)
    gains = []
    for _ in range(100):
        there = [Candidate(id=f"r{i:02}", summary="", patch_key=rng.choice(["", "", "", "same"])) for i in range(count)]
        gains.append(gain([one if rng.random() < 0.85 else None for one in there], group, keep, rng))
    known = [one for one in gains if one is not None]
    assert len(known) > 20 and fmean(known) > 0


def test_the_third_of_three_is_compared_before_it_is_kept() -> None:
    """N=3, G=2, K=2: the third candidate was kept unseen, ranked level with the winner and shown first."""
    slots = [Candidate(id=name, summary="") for name in "abc"]
    for order in permutations("abc"):
        quality = {name: -index for index, name in enumerate(order)}
        ended = play(slots, 2, 2, better(quality))
        assert sorted(ended.kept) == sorted(order[:2]) and ended.judged == 2
        assert ended.ranking.index(order[2]) == 2


def test_two_equal_patches_among_four_leave_nobody_kept_unseen() -> None:
    """N=4, G=2, K=2 with two equal patches: the copy's neighbour had a bye, and was kept because of it."""
    keys = {"a": "same", "b": "x", "c": "y", "d": "same"}
    slots = [Candidate(id=name, summary="", patch_key=key) for name, key in keys.items()]
    ended = play(slots, 2, 2, better({"a": 0, "b": 1, "c": 2, "d": 0}))
    voted = [match.id for matches in ended.rounds for match in matches if match.decided_by == "votes"]
    assert set(ended.kept) == {"b", "c"} and voted == ["r0-m0", "p0-m0"]


@pytest.mark.parametrize(("count", "group", "keep"), [(16, 2, 4), (16, 2, 1), (8, 2, 2), (16, 4, 4), (9, 3, 3)])
def test_where_the_numbers_divide_the_tree_is_the_papers(count, group, keep) -> None:
    slots = [Candidate(id=f"r{index:02}", summary="") for index in range(count)]
    ended = play(slots, group, keep, tossed(1))
    sizes = [len(match.contestants) for matches in ended.rounds for match in matches]
    assert set(sizes) == {group} and not any(match.play_off for matches in ended.rounds for match in matches)
    assert set(ended.kept) == {match.winner for match in ended.rounds[-1]}
    assert ended.judged == (count - keep) // (group - 1)
