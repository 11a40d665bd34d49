"""A match starts when its own contestants are available; a straggler delays nobody else."""

import asyncio

from tournament.bracket import plan_rounds
from tournament.fake import RandomJudge
from tournament.slots import seeded_order


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_only_the_stragglers_own_matches_wait(rtv, kit) -> None:
    field = {one.id: one for one in kit.field(16)}
    futures = {name: asyncio.get_running_loop().create_future() for name in field}
    straggler = list(field)[5]
    judge = RandomJudge()
    task = asyncio.create_task(kit.play(rtv(judge, early_stop="never"), futures))
    for name in field:
        if name != straggler:
            futures[name].set_result(field[name])
    await settle()
    assert len({seed for seed, _, _ in judge.asked}) == 15 - 4
    futures[straggler].set_result(field[straggler])
    await task
    assert len({seed for seed, _, _ in judge.asked}) == 15


async def test_a_pair_is_judged_while_all_others_still_run(rtv, kit) -> None:
    field = {one.id: one for one in kit.field(16)}
    futures = {name: asyncio.get_running_loop().create_future() for name in field}
    judge = RandomJudge()
    task = asyncio.create_task(kit.play(rtv(judge), futures, 4, seed=3))
    order = seeded_order(field, 3)
    pair = plan_rounds(16, 2, 4)[0][0]
    for position in pair:
        futures[order[position]].set_result(field[order[position]])
    await settle()
    assert judge.asked
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not any(future.cancelled() for future in futures.values())


async def test_a_slow_judge_call_does_not_hold_up_other_matches(rtv, kit) -> None:
    release = asyncio.Event()

    class Slow(RandomJudge):
        async def vote(self, problem, contestants, **asked):
            if {one.id for one in contestants} & {slow}:
                await release.wait()
            return await super().vote(problem, contestants, **asked)

    field, judge = kit.field(8), Slow()
    slow = field[0].id
    task = asyncio.create_task(kit.play(rtv(judge), field))
    await settle()
    assert len({seed for seed, _, _ in judge.asked}) == 4
    release.set()
    await task


async def test_cancelling_the_selection_leaves_no_task_behind(rtv, kit) -> None:
    futures = {one.id: asyncio.get_running_loop().create_future() for one in kit.field(4)}
    task = asyncio.create_task(kit.play(rtv(RandomJudge()), futures))
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
