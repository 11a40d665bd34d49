"""What votes reveal about the judge."""

from tournament.fake import AlwaysFirstJudge, PerfectJudge, RefusingJudge
from tournament.position_bias import position_report


async def test_a_judge_that_names_the_first_is_never_consistent(rtv, kit) -> None:
    report = position_report(await kit.play(rtv(AlwaysFirstJudge()), kit.field(16)))
    assert (report.compared, report.consistency, report.first) == (15, 0.0, 15)
    assert report.first_votes == report.votes
    assert report.p_value < 0.001


async def test_a_judge_that_knows_is_always_consistent(rtv, kit) -> None:
    field = kit.field(16)
    judge = PerfectJudge({one.id: index for index, one in enumerate(field)})
    report = position_report(await kit.play(rtv(judge), field))
    assert (report.consistency, report.p_value) == (1.0, 1.0)


async def test_a_judge_that_refuses_leaves_nothing_to_compare(rtv, kit) -> None:
    report = position_report(await kit.play(rtv(RefusingJudge()), kit.field(4)))
    assert (report.compared, report.consistency, report.votes, report.abstentions) == (0, None, 0, 24)
