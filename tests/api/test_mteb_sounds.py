"""mteb's own sound tasks, whose data sets decode sounds with torchcodec: generated sounds."""

import io

import numpy as np
import pytest

pytest.importorskip("mteb", reason="the extra mteb is not installed")
try:
    import torchcodec.decoders  # noqa: F401
except (ImportError, OSError, RuntimeError) as error:  # there, but without FFmpeg's libraries
    # datasets decodes sounds with it alone.
    pytest.skip(
        f"torchcodec does not load: {' '.join(str(error).split())[:80]}", allow_module_level=True
    )
pytestmark = pytest.mark.filterwarnings("ignore")  # of mteb, datasets and scikit-learn

import mteb  # noqa: E402
import soundfile  # noqa: E402
from datasets import Audio, Dataset, DatasetDict  # noqa: E402
from mteb_tasks import table  # noqa: E402
from small_world import small_session, small_target  # noqa: E402

from reactions.api import FusedSpace  # noqa: E402

N = 24


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mteb")
    session = small_session(folder)
    return FusedSpace(small_target(session, folder).bundle, session)


@pytest.fixture(scope="module")
def sounds(fused):
    corpus = fused._session.lab.benchmark("esc50").queries
    return [item.value for item in corpus.items(0, N)]


def files_of(sounds):
    """What data sets of the hub hold: whole files, decoded by torchcodec when they are read."""
    files = []
    for sound in sounds:
        file = io.BytesIO()
        soundfile.write(file, sound.samples, sound.rate_hz, format="WAV", subtype="FLOAT")
        files.append({"bytes": file.getvalue(), "path": None})
    return Dataset.from_dict({"audio": files}).cast_column("audio", Audio())


def scores(task, model, folder):
    (result,) = mteb.evaluate(
        model,
        task,
        cache=mteb.ResultCache(folder),
        co2_tracker=False,
        show_progress_bar=False,
    ).task_results
    (split,) = result.scores.values()
    return split[0]


def with_data(name, dataset):
    """A task of mteb's, by its name, whose data need not be downloaded."""
    task = mteb.get_task(name)
    task.dataset, task.data_loaded = dataset, True
    return task


def both(name, make, fused, sounds, tmp_path):
    """The scores of a task with sounds that torchcodec decodes, and with sounds in memory."""
    model = fused.mteb_model()
    decoded = scores(with_data(name, make(files_of(sounds))), model, tmp_path / "decoded")
    as_arrays = scores(with_data(name, make(table(audio=sounds))), model, tmp_path / "held")
    return decoded, as_arrays


def test_sounds_arrive_whole(fused, sounds):
    decoder = files_of(sounds)[0]["audio"]
    assert type(decoder).__name__ == "AudioDecoder"
    assert decoder.get_all_samples().data.shape[1] == len(sounds[0].samples)
    model = fused.mteb_model()
    about = mteb.get_task("ESC50").metadata
    names = {"task_metadata": about, "hf_split": "test", "hf_subset": "default"}
    rows = model.encode([{"audio": [decoder]}], **names)
    np.testing.assert_allclose(rows, fused.embed(audio=sounds[:1])["audio"], atol=1e-4)


@pytest.mark.parametrize("name", ["ESC50_Zeroshot", "ESC50"])
def test_classes_are_found(fused, sounds, tmp_path, name):
    labels = [i % 3 for i in range(N)]

    def make(rows):
        return DatasetDict({"train": rows.add_column("target", labels)})

    decoded, as_arrays = both(name, make, fused, sounds, tmp_path)
    assert decoded["accuracy"] == pytest.approx(as_arrays["accuracy"], abs=1e-9)


def test_texts_are_found_by_sounds(fused, sounds, tmp_path):
    texts = table(text=[f"a sound of kind {i}" for i in range(N)])

    def make(rows):
        data = {
            "queries": rows.add_column("id", [f"q{i}" for i in range(N)]),
            "corpus": texts.add_column("id", [f"d{i}" for i in range(N)]),
            "relevant_docs": {f"q{i}": {f"d{i}": 1} for i in range(N)},
            "top_ranked": None,
        }
        return {"default": {"test": data}}

    decoded, as_arrays = both("AudioCapsA2TRetrieval", make, fused, sounds, tmp_path)
    assert decoded["hit_rate_at_10"] == pytest.approx(as_arrays["hit_rate_at_10"], abs=1e-9)
    assert decoded["hit_rate_at_10"] > 0
