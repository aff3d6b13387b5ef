"""How far a loss over sampled negatives is from the loss over all items, as JSON lines; seconds on one core.

    python benchmarks/sampled_loss.py [--items 25986] [--draws 200]

No training: drawn users and items, scores s = u.v + lift * log(popularity) of standard deviation near 2, targets drawn
from softmax(s). The full loss of a row is log(sum_i e^s_i) - s_target. A sampled one has the target and n negatives,
drawn with repetition by q, uniform or by popularity, the same for all rows (as in-batch negatives are); those equal to
the row's target are left out. Corrected (logQ): a negative's score is s - log(n q), so that its sum is without bias.
Bias: the mean over draws minus the full one; spread: the standard deviation over draws; both means over rows. Of the
gradient with respect to a user's vector: the lengths of the same, over the length of the full gradient.
"""

import argparse
import json
import time

import torch

WIDTH, ROWS, LIFT, ZIPF = 32, 64, 0.5, 1.0
COUNTS = (64, 256, 1024, 4096)


def world(items, seed=0):
    """(item vectors, popularity, scores of all items, targets)."""
    torch.manual_seed(seed)
    popularity = torch.arange(1, items + 1).double() ** -ZIPF
    popularity /= popularity.sum()
    vectors, users = torch.randn(items, WIDTH).double(), torch.randn(ROWS, WIDTH).double() * 2 / WIDTH**0.5
    scores = users @ vectors.T + LIFT * popularity.log()
    return vectors, popularity, scores, scores.softmax(1).multinomial(1)


def full(vectors, scores, targets):
    """Loss [B] and gradient [B, d] over all items."""
    loss = scores.logsumexp(1) - scores.gather(1, targets).squeeze(1)
    return loss, scores.softmax(1) @ vectors - vectors[targets.squeeze(1)]


def sampled(vectors, scores, targets, q, count, corrected):
    """The same over the targets and ``count`` negatives drawn by ``q``."""
    drawn = q.multinomial(count, replacement=True)
    logits = scores[:, drawn] - ((count * q[drawn]).log() if corrected else 0)
    logits = torch.cat([scores.gather(1, targets), logits.masked_fill(drawn == targets, -torch.inf)], 1)
    shares, own = logits.softmax(1), vectors[targets.squeeze(1)]
    return logits.logsumexp(1) - logits[:, 0], (shares[:, :1] - 1) * own + shares[:, 1:] @ vectors[drawn]


def errors(losses, gradients, exact):
    """Bias and spread over draws (the first axis) of both."""
    loss, gradient = exact
    length = gradient.norm(dim=1)
    found = dict(
        loss_bias=losses.mean(0) - loss,
        loss_spread=losses.std(0),
        gradient_bias=(gradients.mean(0) - gradient).norm(dim=1) / length,
        gradient_spread=gradients.var(0).sum(1).sqrt() / length,
    )
    return {name: round(value.mean().item(), 3) for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=25_986, help="catalogue size (default: the paper's Office)")
    parser.add_argument("--draws", type=int, default=200)
    given, began = parser.parse_args(), time.process_time()
    vectors, popularity, scores, targets = world(given.items)
    exact = full(vectors, scores, targets)
    print(json.dumps(dict(items=given.items, draws=given.draws, rows=ROWS, full_loss=round(exact[0].mean().item(), 3))))
    for name, q in dict(uniform=torch.full_like(popularity, 1 / given.items), popularity=popularity).items():
        for corrected in (False, True):
            for count in COUNTS:
                draws = [sampled(vectors, scores, targets, q, count, corrected) for _ in range(given.draws)]
                found = errors(*map(torch.stack, zip(*draws)), exact)
                print(json.dumps(dict(negatives=name, corrected=corrected, n=count) | found))
    print(json.dumps(dict(processor_seconds=round(time.process_time() - began, 1))))


if __name__ == "__main__":
    main()
