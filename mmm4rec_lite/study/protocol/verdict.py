"""One vocabulary and one rule for every verdict of the study: the paper's claims, the audit, the demo store.

A claim is a list of cases, each of which has an outcome in the same words. A case counts when its difference is
``significance.significant`` (two standard errors): in the claimed direction it is *supported*, in the other one
*contradicted*, and in between *inconclusive*. A case whose runs could not have supported the claim (cut before they
converged, without the pre-training that the claim is about, one seed) is *not tested*, whatever its numbers say.
"""

from collections.abc import Iterable

import numpy as np

from mmm4rec_lite.significance import significant

SUPPORTED, PARTLY, CONTRADICTED = "supported", "partly supported", "contradicted"
INCONCLUSIVE, NOT_TESTED = "inconclusive", "not tested"
VERDICTS = (SUPPORTED, PARTLY, CONTRADICTED, INCONCLUSIVE, NOT_TESTED)
INKS = dict(zip(VERDICTS, ("#1b7837", "#8a5a00", "#b2182b", "#555555", "#555555")))


def case_outcome(difference: float, standard_error: float, obstacle: str = "") -> str:
    """The outcome of one case: ``difference`` is claimed to be positive; ``obstacle`` says why its runs cannot tell."""
    if obstacle or not difference == difference:
        return NOT_TESTED
    if not significant(float(difference), float(standard_error)):
        return INCONCLUSIVE
    return SUPPORTED if difference > 0 else CONTRADICTED


def verdict(outcomes: Iterable[str], complete: bool = True) -> str:
    """The verdict on a claim from the outcomes of its cases.

    Cases that are not tested decide nothing. *Supported* needs every case, and a claim that is ``complete`` (all its
    systems and data were run); *partly supported* some; *contradicted* means that none is supported and at least one
    contradicted.
    """
    found = set(outcomes)
    if SUPPORTED in found or PARTLY in found:
        return SUPPORTED if found == {SUPPORTED} and complete else PARTLY
    return next((word for word in (CONTRADICTED, INCONCLUSIVE) if word in found), NOT_TESTED)


def graded(holding: int | np.integer, of: int) -> str:
    """The verdict on a claim that holds in ``holding`` of ``of`` cases, each decided by itself."""
    return verdict([SUPPORTED] * int(holding) + [CONTRADICTED] * int(of - holding))
