"""A training step recorded once as a CUDA graph, then replayed: small models spend their time on launching kernels."""

from collections.abc import Callable
from typing import Any

import torch

from mmm4rec_lite.utils.errors import InputError, first_line

WARM_UP = 3  # ordinary steps first: they make the optimiser's state, plans of transforms and workspaces


class CapturedStep:
    """Steps on batches of one shape, each equal to ``losses(batch)``, backward and the optimiser's move.

    Recorded anew after ``renew``, which whoever changes what the graph reads has to call (a new epoch).
    """

    def __init__(self, losses: Callable[[Any], dict[str, torch.Tensor]], optimizer: torch.optim.Optimizer):
        self.losses, self.optimizer, self.taken = losses, optimizer, 0
        self.stream = torch.cuda.Stream()
        self.renew()

    def renew(self) -> None:
        """Forget the graph; the next step records another."""
        self.graph: Any = None
        self.static: Any = None
        self.terms: dict[str, torch.Tensor] = {}

    def __call__(self, batch: Any) -> dict[str, torch.Tensor]:
        """Take one step; the terms of the loss are overwritten by the next."""
        if self.taken < WARM_UP:
            self.taken += 1
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                terms = self._step(batch)
            torch.cuda.current_stream().wait_stream(self.stream)
            return terms
        if self.graph is None:
            self.graph, self.static = torch.cuda.CUDAGraph(), batch
            torch.cuda.synchronize()
            try:
                with torch.cuda.graph(self.graph):
                    self.terms = self._step(batch)
            except RuntimeError as error:
                told = f"captured: a step of this model cannot be recorded ({first_line(error)})"
                raise InputError(f"{told}; start again with captured=False") from error
        else:
            for own, new in zip(vars(self.static).values(), vars(batch).values()):
                own.copy_(new)
        self.graph.replay()
        return self.terms

    def _step(self, batch):
        self.optimizer.zero_grad()
        terms = self.losses(batch)
        torch.stack([*terms.values()]).sum().backward()
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}
