"""Event-CLIP: the planes it reads, and its checkpoint beside open_clip's reading of OpenAI's."""

import numpy as np
import pytest
import torch
from other_device import assert_same_on
from pickles import Code

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item, TrainableEncoder
from reactions.encoders import registry
from reactions.encoders.eventclip import adapter
from reactions.encoders.eventclip.adapter import EventClipAdapter, plane_of
from reactions.modalities.events.values import Events
from reactions.weights.locate import WeightLocator

WIDTH, DIM = 64, 32


def recording(n=3000, size=(480, 640), seed=0):
    rng = np.random.default_rng(seed)
    return Events(
        (rng.beta(2, 3, n) * size[1]).astype(np.uint16),
        (rng.beta(3, 2, n) * size[0]).astype(np.uint16),
        np.sort(rng.integers(0, 50_000, n)).astype(np.int64),
        rng.integers(0, 2, n).astype(np.uint8),
        size,
    )


def clip_state(seed):
    """A CLIP of OpenAI's layout: a transformer of patches of 32 pixels, one of words."""
    drawn = torch.Generator().manual_seed(seed)

    def blocks(prefix, n, width):
        shapes = {}
        for i in range(n):
            at = f"{prefix}{i}."
            shapes |= {
                f"{at}attn.in_proj_weight": (3 * width, width),
                f"{at}attn.in_proj_bias": (3 * width,),
                f"{at}attn.out_proj.weight": (width, width),
                f"{at}attn.out_proj.bias": (width,),
                f"{at}mlp.c_fc.weight": (4 * width, width),
                f"{at}mlp.c_fc.bias": (4 * width,),
                f"{at}mlp.c_proj.weight": (width, 4 * width),
                f"{at}mlp.c_proj.bias": (width,),
            }
            for norm in ("ln_1", "ln_2"):
                shapes |= {f"{at}{norm}.weight": (width,), f"{at}{norm}.bias": (width,)}
        return shapes

    shapes = {
        "positional_embedding": (77, WIDTH),
        "text_projection": (WIDTH, DIM),
        "logit_scale": (),
        "visual.class_embedding": (WIDTH,),
        "visual.positional_embedding": (50, WIDTH),
        "visual.proj": (WIDTH, DIM),
        "visual.conv1.weight": (WIDTH, 3, 32, 32),
        **{
            f"visual.{norm}.{p}": (WIDTH,)
            for norm in ("ln_pre", "ln_post")
            for p in ("weight", "bias")
        },
        **blocks("visual.transformer.resblocks.", 2, WIDTH),
        **blocks("transformer.resblocks.", 3, WIDTH),
        "token_embedding.weight": (49408, WIDTH),
        "ln_final.weight": (WIDTH,),
        "ln_final.bias": (WIDTH,),
    }
    return {name: torch.randn(shape, generator=drawn) * 0.1 for name, shape in shapes.items()}


def contents(*, pictures=("encoder_q.", "foundation_model.")):
    """What training left: the encoder of events, the frozen ones, and the optimiser's state."""
    states = {"encoder_k.": clip_state(1), **{prefix: clip_state(2) for prefix in pictures}}
    tensors = {f"{prefix}{k}": v for prefix, state in states.items() for k, v in state.items()}
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5}]}
    return {"checkpoint": tensors, "optimizer": optimiser}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "vit.pt"
    torch.save(contents(), path)
    return path


@pytest.fixture(scope="module")
def encoder(path):
    pytest.importorskip("open_clip")
    return registry.load(registry.resolve_uri(f"eventclip:{path}"))


class TestPlanes:
    def test_as_trained(self):
        events = recording()
        # The published arithmetic, on floats: coordinates are scaled, then cut.
        planes = np.zeros((2, 224, 224))
        for x, y, p in zip(events.x, events.y, events.p, strict=True):
            planes[p, int(y * (224 / 480)), int(x * (224 / 640))] += 1
        shares = [plane / (plane.max() + 1) for plane in planes]
        expected = np.mean([(share - 0.5) * 2 for share in shares], axis=0)
        actual = plane_of(events)
        assert (actual.shape, actual.dtype) == ((224, 224), np.float32)
        # 224 / 480 and 224 / 640 are not floats: whole numbers at the edge of a pixel may differ.
        assert (np.abs(actual - expected) < 1e-6).mean() > 0.999

    def test_clamped(self):
        events = Events(
            np.array([3] * 25 + [100], np.uint16),
            np.zeros(26, np.uint16),
            np.arange(26),
            np.array([0, 1] * 13, np.uint8),
            (224, 224),
        )
        plane = plane_of(events, "clamped")
        assert plane[0, 3] == 1.0
        np.testing.assert_allclose(plane[0, 100], 0.1)
        assert np.count_nonzero(plane) == 2

    def test_pictures(self):
        white = np.full((60, 80, 3), 255, np.uint8)
        np.testing.assert_array_equal(plane_of(white), 1)
        np.testing.assert_array_equal(plane_of(0 * white), -1)
        np.testing.assert_array_equal(plane_of(0 * white, "clamped"), 0)


class TestSpace:
    def test_it_is_described_by_its_shapes(self, path):
        spec = EventClipAdapter().resolve(f"eventclip:{path}")
        assert (spec.name, spec.dim) == ("vit", DIM)
        assert spec.modalities == ("event", "image", "text")
        assert dict(spec.preprocessing)["event"] == "two-planes-224-centred-1"
        assert all(value > 0 for _, value in spec.flops_per_item)

    def test_a_file_without_the_frozen_clip_has_no_pictures(self, tmp_path):
        torch.save(contents(pictures=()), tmp_path / "vit.pt")
        spec = EventClipAdapter().resolve(f"eventclip:{tmp_path / 'vit.pt'}")
        assert spec.modalities == ("event", "text")
        torch.save(contents(pictures=("foundation_model.",)), tmp_path / "vit.pt")
        spec = EventClipAdapter().resolve(f"eventclip:{tmp_path / 'vit.pt'}")
        assert spec.modalities == ("event", "image", "text")

    def test_ranges_stand_in_the_keys_of_events_alone(self, path):
        usual = registry.resolve_uri(f"eventclip:{path}")
        clamped = registry.resolve_uri(f"eventclip:{path}?range=clamped")
        changed = {m for m in usual.modalities if usual.identity(m) != clamped.identity(m)}
        assert changed == {"event"}
        assert registry.resolve_uri(f"eventclip:{path}?range=centred") == usual

    def test_outputs_are_those_of_open_clip(self, encoder):
        open_clip = pytest.importorskip("open_clip")
        from open_clip.openai import build_model_from_openai_state_dict

        def published(seed):
            state = clip_state(seed)
            model = build_model_from_openai_state_dict(dict(state)).float().eval()
            model.load_state_dict(state)  # again: building it rounds to half precision
            return model

        events = [Item(str(i), "event", recording(seed=i)) for i in range(3)]
        planes = torch.from_numpy(np.stack([plane_of(item.value) for item in events]))
        captions = ["a photo of a cat", "rain " * 90]
        pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        prepared = encoder.preprocess("image", Item("x", "image", pixels))
        with torch.inference_mode():
            reader, clip = published(1), published(2)
            expected = {
                "event": reader.encode_image(planes[:, None].repeat(1, 3, 1, 1)),
                "text": reader.encode_text(open_clip.tokenize(captions)),
                "image": clip.encode_image(
                    adapter._PICTURE.normalise(torch.from_numpy(prepared)[None])
                ),
            }
        actual = {
            "event": encoder.embed("event", events),
            "text": encoder.embed("text", [Item(c, "text", c) for c in captions]),
            "image": encoder.embed("image", [Item("x", "image", pixels)]),
        }
        for modality, rows in expected.items():
            unit = torch.nn.functional.normalize(rows, dim=-1).numpy()
            np.testing.assert_allclose(actual[modality], unit, atol=1e-5)

    def test_it_can_be_tuned(self, encoder):
        assert isinstance(encoder, TrainableEncoder)
        names = {name for name, _ in encoder.tower("event").named_parameters()}
        assert names
        assert all(name.startswith("visual.") for name in names)

    def test_videos_by_its_image_tower(self, path):
        spec = registry.resolve_uri(f"eventclip:{path}?video=frames-2")
        assert spec.modalities == ("event", "image", "text", "video")
        with pytest.raises(UsageError, match="embeds event by a tower of its own"):
            registry.resolve_uri(f"eventclip:{path}?event=unibind")


class TestDamage:
    def test_no_encoder_of_events(self, tmp_path):
        torch.save({"checkpoint": clip_state(0)}, tmp_path / "x.pt")
        with pytest.raises(DataError, match="is not a checkpoint of Event-CLIP") as caught:
            EventClipAdapter().resolve(f"eventclip:{tmp_path / 'x.pt'}")
        assert "encoder_k." in caught.value.why

    @pytest.mark.parametrize(
        "key", ["visual.conv1.weight", "text_projection", "visual.positional_embedding"]
    )
    def test_another_clip(self, tmp_path, key):
        damaged = contents(pictures=())
        del damaged["checkpoint"][f"encoder_k.{key}"]
        torch.save(damaged, tmp_path / "x.pt")
        with pytest.raises(DataError, match="holds no CLIP with a vision transformer"):
            EventClipAdapter().resolve(f"eventclip:{tmp_path / 'x.pt'}")

    def test_missing_and_misshaped_tensors(self, tmp_path):
        pytest.importorskip("open_clip")
        damaged = contents(pictures=())
        damaged["checkpoint"]["encoder_k.ln_final.bias"] = torch.zeros(3)
        torch.save(damaged, tmp_path / "x.pt")
        with pytest.raises(DataError, match="do not fit"):
            registry.load(registry.resolve_uri(f"eventclip:{tmp_path / 'x.pt'}"))

    def test_code_is_refused(self, tmp_path, capsys):
        torch.save({"checkpoint": {"encoder_k.x": Code()}}, tmp_path / "x.pt")
        with pytest.raises(DataError):
            EventClipAdapter().resolve(f"eventclip:{tmp_path / 'x.pt'}")
        torch.save({"checkpoint": clip_state(0), "optimizer": Code()}, tmp_path / "x.pt")
        with pytest.raises(DataError):
            EventClipAdapter().resolve(f"eventclip:{tmp_path / 'x.pt'}")
        assert "ran" not in capsys.readouterr().out

    def test_no_such_range(self, path):
        with pytest.raises(UsageError, match="no range 'centerd'"):
            registry.resolve_uri(f"eventclip:{path}?range=centerd")

    def test_what_is_fetched(self, tmp_path):
        (needed,) = registry.requirements("eventclip:vitb.pt?range=clamped")
        assert (needed.filename, needed.repo) == ("vitb.pt", "Eavn/event-clip")
        locator = WeightLocator(folders=(tmp_path,), hub=tmp_path)
        with pytest.raises(MissingError, match="no weights"):
            EventClipAdapter().resolve("eventclip:vitb.pt", locator=locator)


@pytest.mark.parametrize("scheme", ["eventbind", "eclip"])
def test_e_clip_is_not_a_space(scheme):
    with pytest.raises(MissingError, match="is not a space") as caught:
        registry.resolve_uri(f"{scheme}:N-Caltech101-ViT-B-32.bin")
    assert "text" in caught.value.why
    assert "event=eclip" in caught.value.fix


def test_cuda_gives_the_same(cuda, encoder):
    items = [Item(str(i), "event", recording(seed=i)) for i in range(3)]
    assert_same_on(cuda, encoder, {"event": items})
