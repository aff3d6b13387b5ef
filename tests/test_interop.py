"""The public code's numbers, to the last digit: golden files made by running it (``../shared/reference``)."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite import InputError, MMM4Rec, ModelConfig
from mmm4rec_lite.analysis import decay_masks
from mmm4rec_lite.evaluation import count_ranks
from mmm4rec_lite.interop import load_official, official_config, to_official
from mmm4rec_lite.models.losses import full_loss, in_batch_loss
from mmm4rec_lite.models.mmm4rec import Streams
from mmm4rec_lite.utils.tensorfile import load_tensors
from tests.support import golden as own_golden

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
FILES = ("base", "no_time", "in_batch")
BATCHES = ("dataset", "dense_time")
TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
LOSSES = {"full_loss": full_loss, "in_batch_loss": in_batch_loss}


@pytest.fixture(scope="module")
def golden():
    """name -> the golden file; the tests skip where the files do not lie beside the project."""
    if not REFERENCE.is_dir():
        pytest.skip("no ../shared/reference beside the project: golden numbers of the public code are not here")
    return {name: torch.load(REFERENCE / f"official_small_{name}.pt", weights_only=True) for name in FILES}


def build(file, dtype="float32", **config):
    features = [F.pad(file["features"][part], (0, 0, 1, 0)) for part in ("vision", "text")]
    return load_official(file["state_dict"], {**file["config"], **config}, *features).to(getattr(torch, dtype))


def users_of(model, batch):
    return model(batch["item_seq"], batch["lengths"], batch["time_stamps"])


def close(a, b, tolerance):
    return torch.testing.assert_close(a, b.to(a.dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", FILES)
def test_users_scores_and_ranks_are_the_public_ones(golden, name, batch, dtype):
    file, model = golden[name], build(golden[name], dtype)
    wanted, given = file["outputs"][dtype][batch], file["batches"][batch]
    with torch.no_grad():
        users = users_of(model, given)
        scores = model.score(users)
        close(users, wanted["user_emb"], TOLERANCE[dtype])
        close(scores, wanted["scores"], TOLERANCE[dtype])
        close(users @ model.candidates(given["labels"]).T, wanted["in_batch_scores"], TOLERANCE[dtype])
    assert torch.equal(count_ranks(scores, given["labels"]) - 1, wanted["rank"])  # theirs count from 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_losses_and_gradients_are_the_public_ones(golden, name, batch, loss, dtype):
    file, model = golden[name], build(golden[name], dtype)
    wanted, given = file["outputs"][dtype][batch][loss], file["batches"][batch]
    value = LOSSES[loss](model, users_of(model, given), given["labels"])
    assert value.item() == pytest.approx(wanted["loss"], abs=TOLERANCE[dtype], rel=0)
    value.backward()
    model_of_gradients = MMM4Rec(model.config, model.image_features, model.text_features).to(value.dtype)
    for target, source in zip(model_of_gradients.parameters(), model.parameters()):
        target.data = source.grad
    gradients = to_official(model_of_gradients)
    compared = 0
    for parameter, norm in wanted["grad_norms"].items():
        ours = gradients[parameter].norm().item()
        assert ours == pytest.approx(float(norm), rel=5e-4, abs=TOLERANCE[dtype]), parameter
        compared += 1
    for parameter, samples in wanted.get("grad_samples", {}).items():  # 16 entries, evenly spaced, in full
        flat = gradients[parameter].flatten()
        close(flat[torch.linspace(0, len(flat) - 1, len(samples)).round().long()], samples, TOLERANCE[dtype])
    for parameter, whole in wanted.get("grads", {}).items():  # all entries, rounded to 32 bits
        torch.testing.assert_close(gradients[parameter].float(), whole, rtol=1.2e-7, atol=1e-9)
    assert compared == len({id(p) for p in model.parameters()})


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", FILES)
def test_what_goes_on_inside_is_the_public_thing(golden, name, batch):
    file, model = golden[name], build(golden[name], "float64")
    wanted, given = file["outputs"]["float64"][batch]["intermediates"], file["batches"][batch]
    seen, layer = {}, model.layers[0]
    places = {
        "vision_input": model.norm_image,
        "text_input": model.norm_text,
        "layer0.text_output": layer.ffn_text,
        "layer0.text_after_tissd_ln": layer.norm_text,
        "layer0.vision_after_tissd_ln": layer.norm_image,
        "layer0.co_ssd_output": layer.ticossd,
        "layer0.fused_output": layer.ffn_fused,
    }
    if layer.filter is not None:
        places |= {
            "layer0.co_time_diff": layer.filter,
            "layer0.text_time_diff": layer.tissd[0].enhance,
            "layer0.vision_time_diff": layer.tissd[0].enhance,
            "time_diff_normed": model.times.norm,
        }
    for place, module in places.items():
        module.register_forward_hook(lambda _, __, out, place=place: seen.__setitem__(place, out))
    with torch.no_grad():
        masks = decay_masks(model, given["item_seq"], given["lengths"], given["time_stamps"])
    for ours, theirs in (("text", "tissd_text"), ("image", "tissd_vision"), ("fusion", "co_ssd")):
        seen[f"layer0.{theirs}.decay_mask_L"] = masks[f"layer 1, {ours}"]
    missing = {key for key in wanted if wanted[key] is not None} - seen.keys()
    assert all(key.endswith((".dt_raw", ".y_heads")) for key in missing), missing
    for key, value in seen.items():
        close(value, wanted[key], 1e-6)  # the golden ones are rounded to 32 bits


def test_single_layers_on_free_inputs_tell_the_two_filters_apart(golden):
    file, model = golden["base"], build(golden["base"], "float64")
    given, wanted = file["unit_layers"]["inputs"], file["unit_layers"]["outputs"]
    layer, seen = model.layers[-1], {}
    layer.filter.register_forward_hook(lambda _, __, out: seen.__setitem__("co_time_diff", out))
    mask = torch.ones(1, 1, model.config.max_len, dtype=torch.float64)
    streams = Streams(*(given[name].double() for name in ("text", "vision", "text_time", "vision_time")))
    with torch.no_grad():
        out = layer(streams, mask)
        close(out.text, wanted["text_layer_output"], 1e-9)
        close(out.d_text, wanted["text_layer_time"], 1e-9)
        # the public cross layer takes its text input and time signal as they are: leave the text side out
        layer.tissd.insert(0, PassOn())
        layer.norm_text = layer.ffn_text = torch.nn.Identity()
        out = layer(streams, mask)
    close(out.image, wanted["cross_layer_output"], 1e-9)
    close(out.d_image, wanted["cross_layer_time"], 1e-9)
    close(seen["co_time_diff"], wanted["co_time_diff"], 1e-9)


class PassOn(torch.nn.Module):
    def forward(self, x, d, mask):
        return torch.zeros_like(x), d


SWITCHES = [
    dict(num_layers=2),
    dict(is_time=False),
    dict(is_modality_bias=False),
    dict(is_ffn=False),
    dict(p2p_residual=True),
    dict(n_groups=1),
    dict(item_mm_fusion="dynamic_shared"),
    dict(item_mm_fusion="dynamic_instance"),
    dict(max_len=11),
    dict(num_layers=2, is_time=False, n_groups=1),
]
CONFIG = own_golden.CONFIG | dict(hidden_size=32, inner_size=48, d_state=16, head_dim=8, max_len=12)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda s: ",".join(f"{k}={v}" for k, v in s.items()))
def test_the_way_back_round_trips_under_every_switch(switch):
    config = {**CONFIG, **switch}
    features = torch.randn(21, 7), torch.randn(21, 5)
    model = MMM4Rec(official_config(config), *features).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    again = load_official(to_official(model), config, *features)
    assert model.state_dict().keys() == again.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_two_layers_into_one_is_an_error_and_so_are_strangers_gaps_and_diverging_copies(tmp_path):
    features = torch.randn(21, 7), torch.randn(21, 5)
    two = to_official(MMM4Rec(official_config({**CONFIG, "num_layers": 2}), *features))
    with pytest.raises(InputError, match="has no place for decoder_ssd_layers.1"):
        load_official(two, CONFIG, *features)
    one = to_official(MMM4Rec(official_config(CONFIG), *features))
    with pytest.raises(InputError, match="lacks layers.1"):
        load_official(one, {**CONFIG, "num_layers": 2}, *features)
    with pytest.raises(InputError, match="has no place for moe.gate"):
        load_official({**one, "moe.gate": torch.zeros(1)}, CONFIG, *features)
    copy = "decoder_ssd_layers.0.ssd.A_log"
    with pytest.raises(InputError, match="differs from its shared copy"):
        load_official({**one, copy: one[copy] + 1}, CONFIG, *features)
    with pytest.raises(InputError, match="sizes of bias_image"):
        load_official(one, CONFIG, torch.randn(22, 7), torch.randn(22, 5))
    with pytest.raises(InputError, match="key 'd_state' is missing"):
        load_official(one, {k: v for k, v in CONFIG.items() if k != "d_state"}, *features)


def test_a_checkpoint_file_is_read_and_nothing_in_it_is_run(tmp_path):
    features = torch.randn(21, 7), torch.randn(21, 5)
    state = to_official(MMM4Rec(official_config(CONFIG), *features))
    torch.save({"model": state, "optimizer": {}, "epoch": 3}, tmp_path / "full.ckpt")
    torch.save({**state, "text_embedding": features[1], "vision_embedding": features[0]}, tmp_path / "bare.ckpt")
    for name in ("full.ckpt", "bare.ckpt"):
        model = load_official(tmp_path / name, CONFIG, *features)
        assert torch.equal(model.adapter_text.weight, state["text_adapter.0.weight"])

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"model": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(InputError, match="nothing in it was run"):
        load_official(tmp_path / "trap.ckpt", CONFIG, *features)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(InputError, match="no such checkpoint"):
        load_official(tmp_path / "absent.ckpt", CONFIG, *features)


def test_models_that_the_public_code_has_no_form_for_are_refused():
    model = MMM4Rec(ModelConfig(), torch.randn(21, 7), torch.randn(21, 5))
    with pytest.raises(InputError, match="no form for this model's gap_vector, gaps, quirks"):
        to_official(model)


def test_our_own_golden_numbers_hold_where_the_public_ones_are_not_at_hand():
    tensors, _ = load_tensors(own_golden.FILE, "golden", "run python -m tests.support.golden")
    part = lambda head: {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
    state = part("state.")
    shared = "encoder_ssd_layers.0.ssd."
    state |= {k.replace("encoder", "decoder"): v for k, v in state.items() if k.startswith(shared)}
    model = load_official(state, own_golden.CONFIG, tensors["image"], tensors["text"])
    made = own_golden.computed(model, part("given."))
    assert made.keys() == part("made.").keys()
    for name, value in part("made.").items():
        close(made[name], value, 1e-9)
