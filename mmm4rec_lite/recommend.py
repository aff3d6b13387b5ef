"""From a trained model to named items for one user."""

import torch

from mmm4rec_lite.errors import KitError


def user_history(dataset, user, hide=0):
    """A user's interactions, oldest first, with titles; the latest ``hide`` held back."""
    own = dataset.interactions[dataset.interactions["user"] == user]
    if own.empty:
        example = dataset.interactions["user"].iloc[0]
        raise KitError(f"{dataset.name} has no user {user!r}; one that it has: {example!r}")
    if not 0 <= hide < len(own):
        raise KitError(f"hide: user {user!r} has {len(own)} interactions, so at most {len(own) - 1} can be hidden")
    own = own.iloc[: len(own) - hide].reset_index(drop=True)
    return own.merge(dataset.items[["item", "title", "image", "domain"]], on="item", how="left")


def as_batch(dataset, history, max_len):
    """Model input for one history (a frame with item, timestamp): items, lengths, times of batch size 1."""
    latest = history.tail(max_len)
    index = {item: i + 1 for i, item in enumerate(dataset.items["item"])}
    items = torch.tensor([[index[item] for item in latest["item"]]])
    return items, torch.tensor([len(latest)]), torch.tensor([latest["timestamp"].tolist()])


def recommend(model, dataset, user, k=10, hide=0, seen=False, at=None):
    """The k best items for a user as a frame: rank, item, title, score, image.

    ``hide`` holds the user's latest interactions back, to compare with what really came next. Items of the
    history are left out unless ``seen``. ``at``: the moment of the request in seconds since 1970, which a model
    with ``query_time`` needs.
    """
    return recommend_after(model, dataset, user_history(dataset, user, hide), k, seen, at)


@torch.no_grad()
def recommend_after(model, dataset, history, k=10, seen=False, at=None, candidates=None):
    """``recommend`` after any history: a frame with item, timestamp, oldest first.

    ``candidates`` [I + 1, N]: as ``model.candidates()``, where other ones are wanted.
    """
    if history.empty:
        raise KitError("recommend: the history is empty; the model needs at least one item")
    if model.config.query_time != (at is not None):
        raise KitError(
            "recommend: this model is told when it is asked; give the time (--at)"
            if at is None
            else "recommend: only a model with query_time may be told when it is asked; leave --at out"
        )
    if at is not None and at < history["timestamp"].iloc[-1]:
        raise KitError(
            f"recommend: the request (at {at}) is before the user's latest interaction "
            f"({history['timestamp'].iloc[-1]}), in seconds since 1970; give a later time"
        )
    model.eval()
    device = next(model.parameters()).device
    given = as_batch(dataset, history, model.config.max_len) + (() if at is None else (torch.tensor([at]),))
    users = model(*(t.to(device) for t in given))
    scores = model.score(users, candidates)[0, 1:].cpu()
    if not seen:
        scores[torch.tensor(dataset.items["item"].isin(history["item"]).tolist())] = -torch.inf
    k = min(k, int(scores.isfinite().sum()))
    if k < 1:
        raise KitError("recommend: nothing to show (k < 1, or every item is in the history)")
    best = scores.topk(k)
    frame = dataset.items.iloc[best.indices.numpy()][["item", "title", "image"]].reset_index(drop=True)
    frame.insert(0, "rank", range(1, k + 1))
    frame.insert(3, "score", best.values.numpy())
    return frame


def moved_ranks(before, after, k=10):
    """The first k of ``after`` with the column ``before``: each item's rank in ``before`` (0: not in it)."""
    ranks = before.set_index("item")["rank"]
    return after.head(k).assign(before=lambda top: top["item"].map(ranks).fillna(0).astype(int))
