"""What a reader of the notebooks trains on the spot: real films, small settings; the paper's by ``$MMM4REC_SCALE``.

The larger runs beside it, three seeds on three data sets, are kept in ``benchmarks/results`` (``gathered.stored``).
"""

from functools import cache

from mmm4rec_lite import quickstart
from mmm4rec_lite.config import scale
from mmm4rec_lite.experiments.trials import Material, Setting


@cache
def films():
    """The quickstart's target domain of MovieLens-100K, its sources behind it; pictures from ``$MMM4REC_POSTERS``.

    Without posters, what reads pictures is left out of a sweep, with the reason.
    """
    whole = quickstart.dataset()
    rows = quickstart.features(whole)
    return Material(whole.select(quickstart.TARGET), rows, Material(quickstart.source_domains(whole), rows))


def how():
    """Seeds and setting of a sweep: one seed at width 32 when quick; three, each system's own setting, when full."""
    if scale() == "full":
        return dict(seeds=(0, 1, 2), setting=Setting("paper", "full", None, None))
    return dict(seeds=(0,), setting=Setting(width=32, scale=scale()))


def caption():
    """What kind of numbers a live sweep gives, for the titles of figures."""
    if scale() == "full":
        return "measured on this machine, full scale, paper setting, seeds 0 to 2"
    return "measured on this machine, quick scale, width 32, seed 0: one run decides nothing"
