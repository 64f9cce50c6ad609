"""The Python facade: encoders are loaded once, values are checked, runs are not silent."""

import io
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
from bundles import record_of, tensors_of
from fakes import Encoder, headline
from media_files import image_bytes

import reactions
from reactions import Item, Waveform, api, session
from reactions.core.errors import MediaError, UsageError
from reactions.planning.plan import Plan
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.run.events import PlanFinished, PlanStarted, StepFinished, StoreWarning
from reactions.run.logs import log_notices, log_quality, watch


@pytest.fixture
def loaded(monkeypatch):
    """The encoders that were loaded, in order: (space, device)."""
    names = []

    def load(spec, device):
        names.append((spec.name, device))
        return Encoder(spec)

    monkeypatch.setattr(session, "load_encoder", load)
    return names


@pytest.fixture
def fused(tmp_path, loaded):
    space = headline()
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    return reactions.load(bundle_path, lab="mini", device="cpu")


def test_three_calls_load_each_encoder_once(fused, loaded):
    first = fused.embed(text=["a low hum"])["text"]
    assert len(loaded) == 4
    np.testing.assert_array_equal(fused.embed(text=["a low hum"])["text"], first)
    others = fused.embed(text=["a low hum"], sigma=0.0, experts=["InternVL"])["text"]
    assert not np.allclose(others, first)
    fused.embed(audio=[Waveform(np.zeros(8, np.float32), 16_000)])
    assert sorted(loaded) == sorted((leaf, "cpu") for leaf in fused_leaves())


def fused_leaves() -> tuple[str, ...]:
    return ("CLAP_g", "CLAP_m", "ImageBind", "InternVL")


def test_only_what_is_needed_is_loaded(fused, loaded):
    fused.embed(image=[np.zeros((2, 2, 3), np.uint8)])
    assert {name for name, _ in loaded} == {"ImageBind", "InternVL"}


def test_closing_frees_and_embedding_loads_again(fused, loaded):
    with fused as entered:
        assert entered is fused
        first = fused.embed(text=["a"])["text"]
    n = len(loaded)
    np.testing.assert_array_equal(fused.embed(text=["a"])["text"], first)
    assert len(loaded) == 2 * n
    fused.close()
    fused.close()


def test_threads_share_encoders(fused, loaded):
    start = threading.Barrier(4)

    def embed():
        start.wait()
        fused.embed(text=["a"])

    threads = [threading.Thread(target=embed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4


def test_a_text_that_looks_like_a_path_is_a_text(fused):
    assert fused.embed(text=["path.wav", "and/or", "missing.m4a"])["text"].shape == (3, 6)


@pytest.mark.parametrize(
    ("media", "why"),
    [
        ({"image": ["nonsense.png"]}, "there is no such file"),
        ({"audio": ["clip.m4a"]}, "there is no such file"),
        ({"audio": [Path("gone/clip.wav")]}, "there is no such file"),
        ({"image": ["."]}, "it is a folder"),
        ({"image": ["https://example.org/a.png"]}, "it is a URL"),
        ({"image": ["*.png"]}, "a pattern of file names"),
        ({"image": ["a\0b"]}, "there is no such file"),
        ({"image": ["n" * 5000]}, "there is no such file"),
        ({"text": ["fine"], "image": ["nonsense.png"]}, "there is no such file"),
    ],
)
def test_files_that_are_not_there(fused, loaded, media, why):
    with pytest.raises(MediaError, match=f"(?s)cannot read the .*{why}"):
        fused.embed(**media)
    assert loaded == []  # before any encoder is


def test_names_are_found_in_either_unicode_form(fused, tmp_path):
    (tmp_path / "mu\u0308.png").write_bytes(image_bytes(1))
    assert len(fused.embed(image=[str(tmp_path / "m\u00fc.png")])["image"]) == 1


@pytest.mark.parametrize(
    ("media", "message"),
    [
        ({"text": "a low hum"}, "text takes a list"),
        ({"image": Path("a.png")}, "image takes a list"),
        ({"text": 3}, "text takes a list"),
        ({"text": {"a", "b"}}, r"text takes a list\n.*a set has no order"),
        ({"text": SimpleNamespace(columns=["c"])}, r'columns are c\n.*text=table\["c"\]'),
        ({"text": pyarrow.table({"c": ["a"], "d": [1]})}, r'are c, d\n.*table\["COLUMN"\]'),
        ({"text": None}, "text takes a list"),
        ({"text": [3]}, "text 0 is int"),
        ({"text": ["a", None]}, "text 1 is NoneType"),
        ({"text": [b"a"]}, "text 0 is bytes"),
        ({"text": [Path("a.txt")]}, "text 0 is PosixPath"),
        ({"image": [np.zeros((2, 2, 2, 3), np.uint8)]}, r"an array of shape \(2, 2, 2, 3\)"),
        ({"image": [np.zeros((2, 2, 3))]}, r"an array of shape \(2, 2, 3\), float64"),
        ({"image": np.zeros((2, 2, 3), np.uint8)}, r"image takes a list\n.*\(2, 2, 3\)"),
        ({"audio": [np.zeros(3, np.float32)]}, "audio 0 is an array"),
        ({"text": [Item("a", "audio", None)]}, "item 'a' of text is audio"),
        ({"smell": ["rose.txt"]}, "smell"),
    ],
)
def test_values_of_wrong_types(fused, loaded, media, message):
    with pytest.raises((UsageError, MediaError), match=message):
        fused.embed(**media)
    assert loaded == []


def test_unknown_modalities_and_empty_texts_are_refused_first(fused, loaded):
    with pytest.raises(UsageError, match="does not embed txt") as caught:
        fused.embed(txt=["a dog"])
    assert "'text'" in caught.value.fix
    for empty in ("", " \n"):
        with pytest.raises(UsageError, match="text 1 is empty"):
            fused.embed(text=["a dog", empty])
    assert loaded == []


def test_urls_are_shown_as_they_were_given(fused):
    with pytest.raises(MediaError, match=r"'https://x\.org/y\.png'"):
        fused.embed(image=["https://x.org/y.png"])


def test_any_iterable_will_do(fused):
    expected = fused.embed(text=["a", "b"])["text"]
    np.testing.assert_array_equal(fused.embed(text=(t for t in "ab"))["text"], expected)
    np.testing.assert_array_equal(fused.embed(text=np.array(["a", "b"]))["text"], expected)
    assert fused.embed(text=[])["text"].shape == (0, 6)


def test_what_is_public_is_listed_and_nothing_else():
    for name in reactions.__all__:
        assert getattr(reactions, name) is not None
    assert [name for name in dir(reactions) if not name.startswith("__")] == sorted(
        reactions.__all__
    )
    assert set(api.__all__) <= set(reactions.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fuse'"):
        reactions.fuse  # noqa: B018


# --- what a run shows ---


EVENTS = (
    PlanStarted(1, 2),
    StepFinished("k", "train", "train a head", 0.5),
    StoreWarning("damaged"),
    PlanFinished(1, 0.5),
)
LINES = ["1 steps to run, 2 results from the cache", "train a head: done in 0.5 s"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "progress", "is_shown"),
    [
        (io.StringIO, None, False),
        (io.StringIO, False, False),
        (io.StringIO, True, True),
        (Terminal, None, True),
        (Terminal, False, False),
        (Terminal, True, True),
    ],
)
def test_progress_shows_on_a_terminal_or_where_it_is_asked_for(
    stream, progress, is_shown, monkeypatch, caplog
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream())
    caplog.set_level(logging.INFO, "reactions")
    events = []
    sink = watch(progress, events.append)
    for event in EVENTS:
        sink(event)
    assert bool(sys.stderr.getvalue()) == is_shown
    assert tuple(events) == EVENTS
    assert [r.message for r in caplog.records][:2] == LINES
    assert ("WARNING", "damaged") in [(r.levelname, r.message) for r in caplog.records]


def test_progress_without_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    for event in EVENTS[:2]:
        watch(True)(event)


def test_notices_are_warnings(caplog):
    log_notices(["the product is worse than a part"])
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_a_product_worse_than_a_part_is_a_warning(caplog):
    worse = {"metric": "R@10", "part": "CLAP", "mean": -8.0, "low": -12.4, "high": -3.2}
    better = {"lambda": {"CLAP": {"text": 0.5}}}
    fine = {"modalities": ["audio", "image"], "worse": None, "better": None}
    rows = [{"row": "product", "R@10": 40.0}, {"row": "better factors", "R@10": 41.0}]
    bad = {"modalities": ["audio", "text"], "worse": worse, "better": better, "rows": rows}
    log_quality({"cross": [fine, bad]})
    log_quality(None)
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "audio-text: at its default factors the product is worse than CLAP alone: "
        "R@10 -8.0 [-12.4, -3.2]; better: embed(lambda_={'CLAP': {'text': 0.5}}, ...)"
    )
    rows[1]["R@10"] = 39.0  # better at R@1 alone
    log_quality({"cross": [bad]})
    assert caplog.messages[1].endswith("R@10 -8.0 [-12.4, -3.2]")


def test_react_passes_events_on_and_logs_notices(tmp_path, monkeypatch, caplog):
    space = headline()
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    reported = []

    def train(self, checked, *, out, current):
        assert current is False  # a program's product is nobody's default
        for event in EVENTS:
            self.events(event)
        return load_bundle(bundle_path)

    def plan(self, checked):
        return Plan((), notices=("few rows",))

    monkeypatch.setattr(session.Session, "react", train)
    monkeypatch.setattr(session.Session, "plan", plan)
    caplog.set_level(logging.INFO, "reactions")
    fused = reactions.react(
        "ImageBind + Cr(CLAP_m)",
        lab="mini",
        device="cpu",
        progress=False,
        events=reported.append,
    )
    assert fused.path == bundle_path
    assert fused.quality is None
    assert tuple(reported) == EVENTS
    assert [r.message for r in caplog.records][:3] == ["few rows", *LINES]
