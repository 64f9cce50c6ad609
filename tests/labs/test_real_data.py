"""Files on disk, from the lab file to a score: react, eval, again, and after damage."""

import json
from pathlib import Path

import numpy as np
import published_sets as published
import pytest
from media_files import image_bytes, patch_decoder, put, put_tar, sound_bytes

from reactions.core.errors import LanguageError, MediaError, StepError
from reactions.core.file_digests import DigestCache
from reactions.eval.registry import get_task
from reactions.labs.inventory import audit
from reactions.labs.lab_file import load_lab
from reactions.modalities.audio import AUDIO
from reactions.session import Session
from reactions.store import Store

LAB = """
[lab]
name = "own"
extends = "mini"

[reaction]
hidden_dim = 8
batch_size = 8
dr_epochs = 1
cr_epochs = 1

[corpora.text]
path = "captions.csv"
column = "caption"

[corpora.image]
path = "photos"
max_bad = 0.2

[corpora.audio]
path = "sounds-{0..1}.tar"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "molspace.toml", LAB)
    put(tmp_path / "captions.csv", "caption\n" + "".join(f"a sound {i}\n" for i in range(12)))
    for seed in range(12):
        put(tmp_path / f"photos/{seed:02d}.png", image_bytes(seed))
    put(tmp_path / "photos/empty.png", b"")
    for shard in range(2):
        put_tar(
            tmp_path / f"sounds-{shard}.tar",
            {f"{shard}{i}.flac": sound_bytes(10 * shard + i, "FLAC") for i in range(6)},
        )
    published.esc50(tmp_path / "sets/esc50")
    published.audiocaps(tmp_path / "sets/audiocaps")
    published.vggss(tmp_path / "sets/vggss")
    return tmp_path


def session(folder: Path) -> Session:
    store = Store(folder / "store")
    lab = load_lab(data=folder / "sets", digests=DigestCache(store.root))
    return Session(lab, store, "cpu")


def scores(folder: Path, *names: str):
    opened = session(folder)
    target = opened.target("ImageBind + Cr(CLAP_m)")
    return opened, opened.evaluate(target, [get_task(name) for name in names])


def test_react_and_eval_on_files(folder):
    opened, results = scores(folder, "esc50", "audiocaps", "vggss")
    assert [(r.record["n"], r.record["expected"]) for r in results] == [
        (4, 2000),
        (2, 964),
        (3, 5158),
    ]
    assert all(r.record["lab"] == "mini (own)" for r in results)
    second_session = session(folder)
    plan = second_session.plan(second_session.check("ImageBind + Cr(CLAP_m)"))
    assert {second_session.store.has(step.key) for step in plan.steps()} == {True}
    del opened


def test_what_a_glance_lets_pass_stops_the_run_with_the_way_out(folder):
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put_tar(folder / "sounds-1.tar", {"10.flac": bytes(data), "11.flac": sound_bytes(1, "FLAC")})
    with pytest.raises((MediaError, StepError)) as caught:
        scores(folder, "esc50")
    message = str(caught.value)
    assert "sounds-1.tar/10.flac" in message
    assert 'skip = ["10"] under [corpora.audio]' in message
    put(folder / "molspace.toml", LAB + 'skip = ["10"]\n')
    _, (result,) = scores(folder, "esc50")
    assert result.record["n"] == 4


def test_after_a_full_check_the_same_run_leaves_out_what_stopped_it(folder):
    put(folder / "molspace.toml", LAB + "max_bad = 0.2\n")
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put_tar(folder / "sounds-1.tar", {"10.flac": bytes(data), "11.flac": sound_bytes(1, "FLAC")})
    with pytest.raises((MediaError, StepError), match=r"10\.flac"):
        scores(folder, "esc50")
    findings = audit(session(folder).lab.with_check("full"))
    assert ("own audio", 1) in [(f.corpus, f.count) for f in findings if f.kind == "undecodable"]
    opened, (result,) = scores(folder, "esc50")
    assert result.record["n"] == 4
    notices = opened.plan(opened.check("ImageBind + Cr(CLAP_m)")).notices
    assert any("sounds-1.tar/10.flac" in notice for notice in notices)


def test_no_finished_shard_is_lost_to_an_item_that_is_left_out(folder, monkeypatch):
    text = LAB.replace("hidden_dim = 8", "hidden_dim = 8\nshard_rows = 2") + "max_bad = 0.2\n"
    put(folder / "molspace.toml", text)
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    sounds = {f"1{i}.flac": sound_bytes(10 + i, "FLAC") for i in range(6)}
    put_tar(folder / "sounds-1.tar", {**sounds, "13.flac": bytes(data)})
    decoded: list[str] = []

    def decode(stream, path):
        if ".tar" in path:
            decoded.append(path.rpartition("/")[2])
        return AUDIO.decode(stream, path)

    patch_decoder(monkeypatch, "audio", decode)
    with pytest.raises((MediaError, StepError), match=r"13\.flac"):
        scores(folder, "esc50")
    audit(session(folder).lab.with_check("full"))
    decoded.clear()
    scores(folder, "esc50")
    # One space has them from 00 to 11; the other had not begun.
    both, rest = ["12", "14", "15"], [f"{n // 6}{n % 6}" for n in range(8)]
    assert sorted(decoded) == sorted(f"{id}.flac" for id in both * 2 + rest)


def test_what_an_evaluation_set_leaves_out_is_reported(folder):
    broken = folder / "sets/esc50/audio/5-9032-A-0.wav"
    assert broken.exists()
    put(broken, b"RIFF of nothing")
    opened, (result, other) = scores(folder, "esc50", "vggss")
    assert (result.record["n"], other.record["n"]) == (3, 3)
    (notice,) = result.record["notices"]
    assert notice.startswith("esc50: audio: 1 of 4 items are left out")
    assert broken.name in notice
    listed = Path(notice.rpartition("; all: ")[2])
    assert [json.loads(line)["id"] for line in listed.read_text().splitlines()] == [
        "esc50/5-9032-A-0"
    ]
    assert other.record["notices"] == []
    assert opened.scores(opened.target("ImageBind"), [get_task("esc50")]).notices == (notice,)


def test_a_uri_needs_no_quotes_of_its_own(folder):
    (folder / "rows").mkdir()
    np.save(folder / "rows/text.npy", np.eye(4, dtype=np.float32))
    opened = session(folder)
    target = opened.target(f"precomputed:{folder}/rows")
    assert target == opened.target(f'"precomputed:{folder}/rows"')
    assert target.space.dim == 4
    with pytest.raises(LanguageError, match='cannot open the space "opn_clip:ViT-B-32/openai"'):
        opened.target("opn_clip:ViT-B-32/openai")
