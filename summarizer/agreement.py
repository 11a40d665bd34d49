"""Whether two summaries of one rollout agree in what the record can decide: their checked claims.

A summary agrees with a reference if the record contradicts it in no more steps than the reference, and if it correctly
reports at least half of the steps that the reference reports correctly. Prose is not compared.
"""

from summarizer.schema import Mark, Summary

_SHARE = 0.5


def agrees(summary: Summary, reference: Summary) -> bool | None:
    """Compare a summary with a reference of the same rollout.

    Args:
        summary: the summary in question.
        reference: the summary to agree with.

    Returns:
        None if there is nothing to compare, because no model wrote the reference.
    """
    if reference.source != "model":
        return None
    if summary.source != "model" or len(_steps(summary, "contradicted")) > len(_steps(reference, "contradicted")):
        return False
    wanted = _steps(reference, "confirmed")
    return len(wanted & _steps(summary, "confirmed")) >= _SHARE * len(wanted)


def _steps(summary: Summary, mark: Mark) -> set[int]:
    """The steps that claims with this mark are about."""
    return {claim.step_id for claim in summary.evidence if claim.mark == mark}
