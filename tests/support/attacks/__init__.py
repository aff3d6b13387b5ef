"""Attacks on the library, seeded: each yields what was tried and what went wrong. ``benchmarks/soak.py`` runs them all.

A part is a function (count, seed) -> `Report`; a tenth of each runs in the tests.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """How often what happened, and what should not have."""

    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def saw(self, what: str) -> None:
        """Count an outcome."""
        self.counts[what] += 1

    def fault(self, what: str) -> None:
        """Note what should not have happened."""
        self.counts["WRONG"] += 1
        self.wrong.append(what)
