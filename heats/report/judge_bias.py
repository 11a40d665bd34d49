"""What a tournament's votes reveal about its judge, in words."""

from heats import formatting as say
from tournament.base import Bracket
from tournament.position_bias import position_report


def judge_line(bracket: Bracket) -> str:
    """How often the order of candidates, or comments, swayed the judge; empty if no match had votes."""
    report = position_report(bracket)
    told = []
    if report.compared:
        told.append(f"both orders agree in {report.consistent} of {say.several(report.compared, 'pair')}")
        flipped = report.compared - report.consistent
        if flipped:
            told.append(f"the first shown won {report.first} of the other {flipped} (p {report.p_value:.2g})")
    if report.votes:
        told.append(f"{say.percent(report.first_votes / report.votes)} of {report.votes} votes went to the first shown")
    if report.unheard:
        told.append(f"no vote could be read in {say.several(report.unheard, 'match', 'matches')}")
    if report.one_sided:
        told.append(f"only votes of one order could be read in {say.several(report.one_sided, 'match', 'matches')}")
    if report.abstentions:
        told.append(say.several(report.abstentions, "abstention"))
    if report.sensitive:
        told.append(f"{say.several(report.sensitive, 'vote')} would change with comments shown")
    return "judge: " + "; ".join(told) if told else ""
