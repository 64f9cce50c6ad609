"""A fused space in mteb's evaluation: on the same items, scores are those of ``eval``."""

import json

import numpy as np
import pytest

pytest.importorskip("mteb", reason="the extra mteb is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of mteb, datasets and scikit-learn

import mteb  # noqa: E402
from mteb.models.models_protocols import EncoderProtocol, SearchProtocol  # noqa: E402
from mteb_tasks import classification, retrieval, table, zero_shot  # noqa: E402
from small_world import small_session, small_target  # noqa: E402

from reactions.api import FusedSpace  # noqa: E402
from reactions.core.errors import DataError, UsageError  # noqa: E402
from reactions.core.types import Waveform  # noqa: E402
from reactions.eval.prompts import class_prompts  # noqa: E402


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mteb")
    session = small_session(folder)
    return FusedSpace(small_target(session, folder).bundle, session)


@pytest.fixture
def scored(tmp_path):
    def score(model, task):
        cache = mteb.ResultCache(tmp_path / "results")
        (result,) = mteb.evaluate(
            model, task, cache=cache, co2_tracker=False, show_progress_bar=False
        ).task_results
        return result.scores["test"][0]

    return score


def data_of(fused, name):
    (task,) = fused._session.lab.parse_tasks(name)
    return task, fused._session.lab.benchmark(name)


def values_of(corpus):
    return [item.value for item in corpus.items(0, len(corpus))]


@pytest.mark.parametrize(("name", "modality"), [("audiocaps", "audio"), ("coco", "image")])
def test_retrieval_scores_as_eval_does(fused, scored, name, modality):
    _, data = data_of(fused, name)
    media = table(**{modality: values_of(data.left)})
    texts = table(text=values_of(data.right))
    metrics = fused.evaluate(name)[name].metrics
    letter = modality[0]
    both = ["text", modality]
    to_media = {i: [int(left)] for i, left in enumerate(data.owner)}
    to_text = {left: np.flatnonzero(data.owner == left).tolist() for left in range(len(data.left))}
    model = fused.mteb_model()
    from_text = scored(model, retrieval("Found", texts, media, to_media, both, f"t2{letter}"))
    to_text_scores = scored(model, retrieval("Said", media, texts, to_text, both, f"{letter}2t"))
    for k in (1, 5, 10):
        hit = f"hit_rate_at_{k}"
        # mteb rounds to five places.
        assert 100 * from_text[hit] == pytest.approx(metrics[f"text->{modality} R@{k}"], abs=2e-3)
        assert 100 * to_text_scores[hit] == pytest.approx(
            metrics[f"{modality}->text R@{k}"], abs=2e-3
        )
    assert 0 < metrics[f"text->{modality} R@1"] < 100


def test_zero_shot_scores_as_eval_does(fused, scored):
    task, data = data_of(fused, "esc50")
    prompts = values_of(class_prompts(task.name, data.classes, task.templates))
    made_task = zero_shot("Clips", "audio", values_of(data.queries), data.labels.tolist(), prompts)
    accuracy = fused.evaluate("esc50")["esc50"].value
    assert 100 * scored(fused.mteb_model(), made_task)["accuracy"] == pytest.approx(
        accuracy, abs=2e-3
    )
    other = fused.evaluate("esc50", sigma=0.9)["esc50"].value
    moved = scored(fused.mteb_model(sigma=0.9), made_task)["accuracy"]
    assert 100 * moved == pytest.approx(other, abs=2e-3)
    assert other != accuracy


def test_a_linear_probe_runs_and_prompts_are_reported(fused, scored):
    _, data = data_of(fused, "esc50")
    model = fused.mteb_model()
    task = classification(
        "Probe", "audio", values_of(data.queries), data.labels.tolist(), "Name it"
    )
    assert 0 < scored(model, task)["accuracy"] <= 1
    assert [note for note in model.notices if "prompts" in note]


def encode(model, batch, **more):
    about = classification("About", "text", ["a", "b"], [0, 1]).metadata
    return model.encode([batch], task_metadata=about, hf_split="test", hf_subset="default", **more)


def test_rows_are_those_of_embed(fused):
    picture = np.full((32, 32, 3), 90, np.uint8)
    sound = Waveform(np.linspace(-0.5, 0.5, 16_000, dtype=np.float32), 16_000)
    model = fused.mteb_model(experts=["CLAP_m"])
    embedded = fused.embed(text=["rain"], image=[picture], audio=[sound], experts=["CLAP_m"])
    stereo = np.stack([sound.samples + 0.1, sound.samples - 0.1])
    values_by_modality = {
        "text": ["rain"],
        "image": [picture],
        "audio": [{"array": stereo, "sampling_rate": 16_000}],
    }
    for modality, values in values_by_modality.items():
        np.testing.assert_allclose(encode(model, {modality: values}), embedded[modality], atol=1e-5)
    total = sum(embedded[modality] for modality in values_by_modality)
    np.testing.assert_allclose(
        encode(model, values_by_modality),
        total / np.linalg.norm(total, axis=1, keepdims=True),
        atol=1e-5,
    )


def test_items_may_lack_a_modality_but_not_all(fused):
    model = fused.mteb_model()
    picture = np.full((32, 32, 3), 90, np.uint8)
    rows = encode(model, {"text": ["rain", "snow"], "image": [picture, None]})
    alone = fused.embed(text=["snow"])["text"]
    np.testing.assert_allclose(rows[1:], alone, atol=1e-6)
    assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(DataError, match="About: item 1 of a batch is empty"):
        encode(model, {"image": [picture, None]})


def test_what_cannot_be_embedded_is_refused_and_what_is_left_aside_reported(fused):
    model = fused.mteb_model()
    with pytest.raises(UsageError, match="About: items of video cannot be embedded"):
        encode(model, {"video": [None]})
    encode(model, {"text": ["rain"], "video": ["clip"]})
    assert "the video of items that have others beside it is not embedded" in model.notices
    with pytest.raises(UsageError, match="a text cannot be embedded"):
        encode(model, {"text": ["\ud800"]})
    assert encode(model, {"text": ["", "a"]}).shape == (2, fused.dim)
    assert "empty texts are embedded as empty texts" in model.notices
    assert encode(model, {"text": []}).shape == (0, fused.dim)


def test_it_is_an_encoder_of_mtebs_under_the_bundles_name(fused):
    model = fused.mteb_model()
    meta = model.mteb_model_meta
    assert isinstance(model, EncoderProtocol)
    assert not isinstance(model, SearchProtocol)
    digest = fused._bundle.digest
    assert (meta.name, meta.revision) == (f"molspace/lab-mini--bundle-{digest[:12]}", digest)
    assert meta.modalities == ["text", "image", "audio"]
    assert meta.experiment_kwargs == {"lab": model.lab}
    assert "mini" in model.lab


def test_results_of_other_factors_lie_apart(fused, tmp_path):
    cache = mteb.ResultCache(tmp_path)
    settings = [{}, {"sigma": 0.3}, {"sigma": 0.30000001}, {"experts": ["CLAP_m"]}]
    paths = {
        cache.get_task_result_path("T", fused.mteb_model(**factors).mteb_model_meta)
        for factors in [*settings, {"sigma": 0.3}]
    }
    assert len(paths) == len(settings)
    assert max(len(part) for path in paths for part in path.parts) < 255


def test_a_rehearsal_says_so_wherever_its_results_land(fused, tmp_path, monkeypatch):
    # mteb made its default, of $MTEB_CACHE, when it was imported.
    monkeypatch.setitem(mteb.evaluate.__kwdefaults__, "cache", mteb.ResultCache(tmp_path))
    task = classification("Left", "text", [f"text {i}" for i in range(8)], [0, 1] * 4)
    result = mteb.evaluate(fused.mteb_model(), task, co2_tracker=False, show_progress_bar=False)
    assert "lab-mini--" in result.model_name
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.json")]
    assert {path.name for path in files} >= {"Left.json", "model_meta.json"}
    assert all("lab-mini--bundle" in str(path) for path in files)
    about = json.loads(next(tmp_path.rglob("model_meta.json")).read_text())
    assert "lab-mini--" in about["name"]
    assert about["experiment_kwargs"] == {"lab": fused.mteb_model().lab}
