"""Figures of decay masks: what is drawn is what was given, with labelled axes."""

import pandas as pd
import pytest
import torch
from PIL import Image

from mmm4rec_lite import viz
from mmm4rec_lite.models.ssd import decay_mask
from tests.support.figures import drawn, legend

LABELS = ["Red desk lamp", "A title that is far too long for an axis and has to be cut somewhere", "Blue $5 mug"]
MASK = decay_mask(torch.tensor([-0.1, -0.2, -0.3]))


def test_half_life_bars_go_up_or_down_from_one_step():
    (axis,) = drawn(viz.half_life_bars({"text": torch.tensor([4.0, 0.5]), "image": torch.tensor([2.0, 20])}, window=20))
    tops = [bar.get_y() + bar.get_height() for bar in axis.patches]
    assert tops == pytest.approx([4, 0.5, 2, 20]) and all(bar.get_y() == 1 for bar in axis.patches)
    assert {"text", "image"} < set(legend(axis)) and any("20" in text for text in legend(axis))


def test_mask_difference_shows_both_and_what_changed():
    after = decay_mask(torch.tensor([-0.1, -2.0, -0.3]))
    left, middle, right, *_ = drawn(viz.mask_difference(MASK, after, LABELS, ("own", "other")))
    change = torch.tensor(right.images[0].get_array().filled(0).tolist(), dtype=torch.float32)
    torch.testing.assert_close(change, after - MASK)
    assert left.get_title() == "own" and middle.get_title() == "other"
    assert right.images[0].get_clim() == (-1, 1) and left.images[0].get_clim() == (0, 1)
    names = [tick.get_text() for tick in left.get_yticklabels()]
    assert names[0] == "Red desk lamp  1" and len(names[1]) < 30


def test_the_future_has_another_colour_than_what_is_forgotten():
    mask = MASK.clone()
    mask[1:, 0] = 0
    image = drawn(viz.mask_map(mask, LABELS, "one head"))[0].images[0]
    colours = image.cmap(image.norm(image.get_array()))
    assert image.get_array().mask[0, 1] and not image.get_array().mask[1, 0]
    assert tuple(colours[0, 1]) != tuple(colours[1, 0])


@pytest.mark.parametrize("gaps", [None, [0, 60, 86400 * 45]])
def test_a_picture_mask_has_every_item_along_both_axes(gaps, tmp_path):
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.png")
    items = pd.DataFrame({"item": ["a", "b", "c"], "title": LABELS, "image": ["a.png", None, None]})
    axis, bar = drawn(viz.picture_mask(MASK.double().numpy(), items, tmp_path, "one head", gaps))
    heat, *pictures = axis.images
    assert heat.get_clim() == (0, 1) and list(heat.get_extent()) == [0, 3, 3, 0] and bar.get_ylabel()
    torch.testing.assert_close(torch.tensor(heat.get_array().filled(0).tolist()), MASK)
    left, below = (picture.get_extent() for picture in pictures)
    assert left[1] < 0 < left[3] < 1 and 0 < below[0] < 1 and below[3] > 3  # beside row 1, below column 1
    words = [text.get_text().replace("\n", " ") for text in axis.texts]
    assert words.count("Blue $5 mug") == 2 and len(axis.patches) == 6 and axis.get_title() == "one head"
    assert words[4:] == (["first", "+1 min", "+45 d"] if gaps else []) and axis.get_xlabel() and axis.get_ylabel()


@pytest.mark.parametrize("pictures", [False, True])
def test_weight_strip_has_bars_above_and_items_with_gaps_below(pictures, tmp_path):
    items = pd.DataFrame({"item": ["a", "b", "c"], "title": LABELS, "image": None})
    if pictures:
        Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
        items.loc[0, "image"] = "a.png"
    weights = {"head 1": torch.tensor([0.1, 0.2, 0.7]), "head 2": torch.tensor([0.3, 0.3, 0.4])}
    bars, *tiles = drawn(viz.weight_strip(items, weights, [0, 60, 86400 * 45], tmp_path, "title"))
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([0.1, 0.2, 0.7, 0.3, 0.3, 0.4])
    below = [axis.get_xlabel() for axis in tiles]
    assert "first" in below[0] and "1 min later" in below[1] and "45 d later" in below[2]
    assert bool(tiles[0].images) == pictures and legend(bars) == ["head 1", "head 2"]
