"""The audit of what both modalities share: any weights show it."""

from mmm4rec_lite.study.audit import weight_sharing


def test_two_channels_are_one_unless_weights_are_not_shared():
    table = weight_sharing.dual_channel().table.set_index("model")
    same, moved = table["signals_equal"], table["relative_change"]
    assert not same["w/o Shared"] and same.drop("w/o Shared").all()
    assert moved["w/o Shared"] > 0.01 and (moved.drop("w/o Shared") < 1e-6).all()
    assert (table["training_difference"] > 0.01).all()


def test_shared_weights_are_counted():
    table = weight_sharing.shared_weights().table
    for _, form in table.groupby("form"):
        parts = form.set_index("part")["n_parameters"]
        whole = parts.pop("whole model without item tables")
        assert 0 <= whole - parts.sum() < 50  # the affine weights of eq. 5's LayerNorm
    assert table.query("form == 'public code' and modality == 'image'")["n_parameters"].item() == 0
