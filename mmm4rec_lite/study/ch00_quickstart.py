"""Chapter 0: from ratings to recommendations, and what one decay mask says about a history."""

from mmm4rec_lite.analysis import decay_masks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.typing import Float, Int, Tensor

MONTH, ALIGNMENT = 30 * 86400, "layer 1, text"

History = tuple[Int[Tensor, "1 L"], Int[Tensor, " 1"], Int[Tensor, "1 L"]]  # items, lengths, times of one user


def layer_masks(model: MMM4Rec, history: History, place: str = ALIGNMENT) -> Float[Tensor, "H n n"]:
    """The decay masks at one place of a model, head by head, over the n items of a history."""
    n = int(history[1])
    return decay_masks(model, *history)[place][0, :, :n, :n].cpu()


def middling_head(masks: Float[Tensor, "H n n"]) -> int:
    """The head (from 0) that forgets neither at once nor never: half a history is left at its last step."""
    return int(masks[:, -1].mean(-1).sub(0.5).abs().argmin())


def left_by_gaps(model: MMM4Rec, history: History, place: str = ALIGNMENT) -> dict[str, Float[Tensor, " n"]]:
    """What the last step still has of each item, the mean over heads: with the real gaps, with none, with long ones."""
    items, lengths, times = history
    what_if = {"real gaps": times, "all at once": times * 0, "a month apart": MONTH * (times >= 0).cumsum(1)}
    return {name: layer_masks(model, (items, lengths, t), place)[:, -1].mean(0) for name, t in what_if.items()}
