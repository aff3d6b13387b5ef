"""Attacks on the library, seeded: each yields what was tried and what went wrong. ``benchmarks/soak.py`` runs them all.

A part is a function (count, seed) -> `Report`; a share of each runs in the tests.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Report:
    """How many attempts there were, how often what happened, and what should not have."""

    tried: int = 0
    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    until: ClassVar[float] = float("inf")  # when parts end, however much is left to try

    @property
    def late(self) -> bool:
        """Whether the time is over, asked before every attempt but the first, which is always made; counted."""
        over = self.tried > 0 and time.monotonic() > self.until
        self.tried += not over
        self.counts["ended by the clock"] += over
        return over

    def saw(self, what: str) -> None:
        """Count an outcome."""
        self.counts[what] += 1

    def fault(self, what: str) -> None:
        """Note what should not have happened."""
        self.counts["WRONG"] += 1
        self.wrong.append(what)
