"""The three forms of the operator are one function, values and gradients, whatever the gaps."""

import itertools

import pytest
import torch

from mmm4rec_lite.models.ssd import choose, decay_mask, ssd, ssd_chunked, ssd_masked, ssd_scan, ssd_state

FORMS = {
    "masked": ssd_masked,
    "chunk 4": lambda *a, **k: ssd_chunked(*a, **k, chunk=4),
    "chunk 16": lambda *a, **k: ssd_chunked(*a, **k, chunk=16),
    "chosen": ssd,
}
GAPS = {
    "ordinary": lambda dt: dt,
    "zero": torch.zeros_like,
    "equal": torch.ones_like,
    "enormous": lambda dt: torch.where(dt > 0.8, 1e9, dt),
    "all enormous": lambda dt: dt * 1e30,
}


def inputs(length, groups=2, gaps="ordinary", seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=dtype)
    batch, heads, width, state = 2, 4, 3, 5
    dt = GAPS[gaps](torch.rand(batch, length, heads, generator=g, dtype=dtype))
    tensors = dict(
        x=draw(batch, length, heads, width),
        dt=dt,
        A=-draw(heads).exp(),
        B=draw(batch, length, groups, state),
        C=draw(batch, length, groups, state),
        skip=draw(heads),
        initial_state=draw(batch, heads, width, state),
    )
    return {name: t.requires_grad_() for name, t in tensors.items()}


def close(a, b):
    """Equal to 1e-10 of the largest value."""
    return torch.allclose(a, b, rtol=0, atol=1e-10 * max(1.0, b.abs().max().item()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("length", [1, 2, 7, 16, 17, 31])
def test_equals_the_scan_in_values_and_gradients(form, gaps, length):
    for groups, extras in itertools.product([1, 2, 4], [True, False]):
        given = inputs(length, groups, gaps)
        if not extras:
            given.pop("skip"), given.pop("initial_state")
        upstream = torch.randn(2, length, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        expected = ssd_scan(**given)
        got = FORMS[form](**given)
        assert torch.isfinite(expected).all() and close(got, expected)
        wanted = torch.autograd.grad(expected, given.values(), upstream, retain_graph=True)
        have = torch.autograd.grad(got, given.values(), upstream)
        for name, a, b in zip(given, have, wanted):
            assert torch.isfinite(a).all() and close(a, b), name


def test_long_sequences_agree():
    given = inputs(1009, gaps="enormous")
    assert choose(1009, 5, 3)[0] == "chunked"
    assert close(ssd(**given), ssd_scan(**given))


def test_one_enormous_gap_costs_the_others_no_digits():
    steps = torch.tensor([-0.1, -1e12, -0.3, -0.2], dtype=torch.float64)
    mask = decay_mask(steps)
    assert mask[3, 1].item() == pytest.approx(torch.tensor(-0.5, dtype=torch.float64).exp().item(), rel=1e-15)
    assert mask[3, 0] == 0 and (mask.diagonal() == 1).all() and (mask.triu(1) == 0).all()


def test_steps_whose_exponent_overflows_forget_everything_and_give_no_nan():
    given = {k: v.detach() for k, v in inputs(9, dtype=torch.float32).items()}
    given["dt"][:, 4] = 3e38
    given["x"], given["B"] = given["x"] * 1e-20, given["B"] * 1e-20
    wanted = ssd_scan(**given)
    assert torch.isfinite(wanted).all() and torch.isfinite(decay_mask((given["A"] * given["dt"]).mT)).all()
    for form in FORMS.values():
        got = form(**given)
        assert torch.isfinite(got).all() and torch.allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_state_carries_a_sequence_over_a_cut():
    given = inputs(13)
    whole, cut = ssd_scan(**given), 5
    h0 = given["initial_state"]
    first = {k: v[:, :cut] if k in "x dt B C".split() else v for k, v in given.items()}
    rest = {k: v[:, cut:] if k in "x dt B C".split() else v for k, v in given.items()}
    rest["initial_state"] = ssd_state(first["x"], first["dt"], first["A"], first["B"], h0)
    assert close(torch.cat([ssd(**first), ssd(**rest)], dim=1), whole)


def test_skip_may_differ_per_step():
    given = inputs(6)
    skip = torch.randn(2, 6, 4, dtype=torch.float64)
    without = ssd_scan(**{**given, "skip": None})
    assert close(ssd_masked(**{**given, "skip": skip}), without + skip.unsqueeze(-1) * given["x"])


def test_later_items_never_reach_earlier_outputs():
    given = inputs(9)
    before = ssd_chunked(**given, chunk=4)
    with torch.no_grad():
        given["x"][:, 6:] += 1
    after = ssd_chunked(**given, chunk=4)
    assert torch.equal(before[:, :6], after[:, :6]) and not torch.equal(before[:, 6:], after[:, 6:])


def test_no_gradient_of_a_step_is_as_large_as_the_sequence():
    """Backward of ``x[:, t]`` fills a tensor of x's size; L or K of them would be quadratic."""
    for form in (ssd_scan, FORMS["chunk 4"]):
        nodes, seen = [form(**inputs(19)).grad_fn], set()
        while nodes:
            node = nodes.pop()
            if node is not None and node not in seen:
                seen.add(node)
                nodes += [before for before, _ in node.next_functions]
        assert not [node.name() for node in seen if node.name().startswith("Select")]


def test_the_chooser_takes_the_masked_form_for_short_and_chunks_for_long_sequences():
    assert choose(20, 64, 64) == choose(20, 64, 64, heads=2048) == ("masked", 20)
    assert choose(16_384, 64, 64) == choose(4096, 64, 64, heads=2048) == ("chunked", 32)
    assert choose(4096, 16, 16, heads=2048) == ("chunked", 16)


def test_the_chooser_masks_longer_where_launches_count_more_than_the_work():
    assert choose(64, 16, 16, heads=8) == ("masked", 64) and choose(64, 16, 16, heads=512) == ("chunked", 16)
    assert choose(4096, 16, 16, heads=8) == ("chunked", 32)


@pytest.mark.parametrize("state", [16, 64])
def test_chosen_chunks_are_even(state):
    for length in range(1, 400):
        _, chunk = choose(length, state, state, heads=256)
        assert -length % chunk < -(-length // chunk)  # filled up by less than a step a chunk
