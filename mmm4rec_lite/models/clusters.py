"""Mini-batch k-means (D. Sculley, Web-scale k-means clustering, WWW 2010, algorithm 1), and sets of cluster ids."""

import torch
from torch.nn import functional as F

from mmm4rec_lite.utils.typing import Float, Int, Tensor


def k_means(
    vectors: Float[Tensor, "N d"], count: int, passes: int = 5, batch_size: int = 2048
) -> tuple[Float[Tensor, "count d"], Int[Tensor, " N"]]:
    """The centroids and each vector's nearest of them.

    A centroid is the running mean of all vectors that it was nearest to, over all passes. It starts at a vector drawn
    without repetition by torch's random state, so a seeded run repeats itself; one that is never nearest stays there.
    """
    drawn = lambda: torch.randperm(len(vectors)).to(vectors.device)
    centroids = vectors[drawn()[:count]].clone()
    seen = vectors.new_zeros(count, 1)
    for _ in range(passes):
        for rows in drawn().split(batch_size):
            near = nearest(vectors[rows], centroids)
            new = near.bincount(minlength=count).unsqueeze(1)
            sums = torch.zeros_like(centroids).index_add_(0, near, vectors[rows])
            seen += new
            centroids += (sums - new * centroids) / seen.clamp(min=1)
    return centroids, torch.cat([nearest(part, centroids) for part in vectors.split(batch_size)])


def nearest(vectors: Float[Tensor, "N d"], centroids: Float[Tensor, "count d"]) -> Int[Tensor, " N"]:
    """Index of each vector's nearest centroid by Euclidean distance."""
    return torch.addmm(centroids.square().sum(1), vectors, centroids.T, alpha=-2).argmin(1)


def distinct(ids: Int[Tensor, "B S"]) -> Int[Tensor, "B U"]:
    """Every row's distinct ids without 0, falling, then zeros up to the longest row's number."""
    ids = ids.sort(1).values
    repeated = F.pad(ids[:, 1:] == ids[:, :-1], (1, 0))
    ids = ids.masked_fill(repeated, 0).sort(1, descending=True).values
    return ids[:, : (ids > 0).sum(1).max()]
