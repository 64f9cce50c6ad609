import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import CG, Encoder

from reactions.core.errors import MediaError, StoreError
from reactions.core.types import Item
from reactions.encoders import doctor
from reactions.encoders.doctor import LONG_SECONDS, examine, rising_sound


def samples(n=8):
    return {m: [Item(f"{m}{i}", m, None) for i in range(n)] for m in ("audio", "text")}


def verdicts(encoder, **options):
    """(check, modality) to verdict."""
    actual = examine(encoder, samples(), **options)
    assert all(f.advice for f in actual if f.verdict == "failed")
    return {(f.check, f.modality): f.verdict for f in actual}


class Changed(Encoder):
    """An encoder whose text rows go through a function."""

    def __init__(self, change):
        super().__init__(CG.spec)
        self._change = change

    def embed(self, modality, items):
        rows = super().embed(modality, items)
        return self._change(rows) if modality == "text" else rows


def test_a_healthy_space_passes(tmp_path):
    actual = verdicts(Encoder(CG.spec), goldens=tmp_path)
    assert set(actual.values()) == {"ok"}
    checks = {check for check, modality in actual if modality == "text"}
    assert checks == {
        "dimensions",
        "unit norms",
        "same again",
        "alone or in a batch",
        "spread",
        "speed",
        "stored outputs",
    }
    assert actual["long sounds", "audio"] == "ok"
    assert not [modality for check, modality in actual if check == "long sounds"][1:]


class Cropping(Encoder):
    """Hears ten seconds of a sound, at random or from the beginning, by their spectrum."""

    SECONDS = 10

    def __init__(self, spec, *, by_chance):
        super().__init__(spec)
        self._rng = np.random.default_rng(0)
        self._by_chance = by_chance

    def embed(self, modality, items):
        if any(item.value is None for item in items):
            return super().embed(modality, items)
        rows = []
        for item in items:
            size = self.SECONDS * item.value.rate_hz
            spare = len(item.value.samples) - size
            start = self._rng.integers(spare) if self._by_chance and spare > 0 else 0
            spectrum = np.abs(np.fft.rfft(item.value.samples[start : start + size]))
            rows.append([part.sum() for part in np.array_split(spectrum, self.spec.dim)])
        rows = np.float32(rows)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_crops_at_random_show_in_long_sounds():
    for by_chance, verdict in ((True, "failed"), (False, "ok")):
        actual = verdicts(Cropping(CG.spec, by_chance=by_chance))
        assert actual["long sounds", "audio"] == verdict
        assert actual["same again", "audio"] == "ok"


def test_long_sounds_differ_throughout():
    assert min(LONG_SECONDS) > 10
    for seconds in LONG_SECONDS:
        sound = rising_sound(seconds).value
        assert (sound.samples.dtype, len(sound.samples)) == (
            np.float32,
            seconds * sound.rate_hz,
        )
        assert 0.4 < np.abs(sound.samples).max() <= 1
        crossings = [
            np.count_nonzero(np.diff(np.signbit(part))) for part in np.split(sound.samples, 20)
        ]
        assert crossings == sorted(set(crossings))  # higher, and higher


def test_long_sounds_are_among_the_stored_outputs(tmp_path):
    verdicts(Encoder(CG.spec), goldens=tmp_path)
    actual = {}
    for path in tmp_path.iterdir():
        record = json.loads(path.read_text())
        actual[record["modality"]] = len(record["rows"])
    assert actual == {"audio": 8 + len(LONG_SECONDS), "text": 8}


def chance():
    rng = np.random.default_rng(0)

    def change(rows):
        noisy = rows + 0.01 * rng.normal(size=rows.shape).astype(np.float32)
        return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)

    return change


def collapse(rows):
    rows = np.float32([1, 0, 0, 0, 0]) + 0.03 * rows
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_batch(rows):
    rows = rows + 0.01 * len(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda rows: rows * 1.1, "unit norms"),
        (lambda rows: rows[:, :4], "dimensions"),
        (lambda rows: rows * np.float32("nan"), "finite"),
        (chance(), "same again"),
        (by_batch, "alone or in a batch"),
        (collapse, "spread"),
    ],
)
def test_what_is_wrong_is_reported_of_the_tower_alone(change, check):
    actual = verdicts(Changed(change))
    assert actual[check, "text"] == "failed"
    assert "failed" not in {v for (_, modality), v in actual.items() if modality == "audio"}


def rounded_by_batch(rows):
    rows = rows + np.float32(0.004) * (len(rows) == 1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "failed"),
        ({"preprocessing": (("audio", "a-1"), ("text", "t-1-bf16"))}, "ok"),
        ({"adapter": "imagebind_bfloat16"}, "ok"),
    ],
)
def test_bfloat16_rounds_more_between_batch_sizes(changes, verdict):
    encoder = Changed(rounded_by_batch)
    encoder.spec = replace(CG.spec, **changes)
    assert verdicts(encoder)["alone or in a batch", "text"] == verdict
    for change in (by_batch, chance()):  # what is not rounding shows in it, too
        encoder._change = change
        assert "failed" in verdicts(encoder).values()


def test_outputs_that_changed_since_they_were_stored(tmp_path):
    assert verdicts(Encoder(CG.spec), goldens=tmp_path)["stored outputs", "text"] == "ok"
    turned = Changed(lambda rows: rows[:, ::-1].copy())
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "failed"
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "failed"
    assert verdicts(turned, goldens=tmp_path, renew=True)["stored outputs", "text"] == "ok"
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "ok"


@pytest.mark.parametrize("content", ["{", "{}", '{"rows": [1]}', '{"rows": [[1], [1, 2]]}', None])
def test_a_damaged_record_is_reported_and_kept(tmp_path, content):
    verdicts(Encoder(CG.spec), goldens=tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
        path.mkdir() if content is None else path.write_text(content)
    for _ in range(2):
        actual = examine(Encoder(CG.spec), samples(), goldens=tmp_path)
        stored = [finding for finding in actual if finding.check == "stored outputs"]
        assert [finding.verdict for finding in stored] == ["failed", "failed"]
        assert all(
            "--renew" in finding.advice and "cannot read" in finding.value for finding in stored
        )
    for path in tmp_path.iterdir():
        assert path.is_dir() if content is None else path.read_text() == content
    if content is not None:
        actual = verdicts(Encoder(CG.spec), goldens=tmp_path, renew=True)
        assert actual["stored outputs", "text"] == "ok"
        assert verdicts(Encoder(CG.spec), goldens=tmp_path)["stored outputs", "text"] == "ok"


def speeds(**options):
    actual = examine(Encoder(CG.spec), samples(), **options)
    return [finding.value for finding in actual if finding.check == "speed"]


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where an encoder says so."""
    time_s = [0.0]
    monkeypatch.setattr(doctor.time, "perf_counter", lambda: time_s[0])
    return time_s


class Timed(Encoder):
    """An encoder each of whose batches takes the next of some times, the last ones ever after."""

    def __init__(self, clock, seconds):
        super().__init__(replace(CG.spec, modalities=("text",)))
        self.clock, self.seconds, self.batches = clock, list(seconds), 0

    def embed(self, modality, items):
        if len(items) > 4:
            self.clock[0] += self.seconds[min(self.batches, len(self.seconds) - 1)]
            self.batches += 1
        return super().embed(modality, items)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        # The first batch, which warms everything up, counts for nothing.
        ([50.0, 0.8, 0.4, 1.6], "10.0 items/s (5.0 to 20.0) in 3 batches of 8"),
        ([1.0, 0.125], "64.0 items/s (64.0 to 64.0) in 8 batches of 8"),
        ([1.0, 1e-6], "in 50 batches of 8"),
        ([100.0, 40.0], "0.2 items/s in a batch of 8"),
    ],
)
def test_speed_is_a_median_with_its_spread_in_bounded_time(clock, seconds, words):
    encoder = Timed(clock, seconds)
    (actual,) = [finding for finding in examine(encoder, samples()) if finding.check == "speed"]
    assert words in actual.value
    assert clock[0] <= seconds[0] + 41


@pytest.mark.parametrize("error", [ValueError("the input\nis too long"), RuntimeError("shapes")])
def test_whatever_a_broken_model_raises_is_a_finding(error):
    class Broken(Encoder):
        def embed(self, modality, items):
            raise error

    actual = examine(Broken(CG.spec), samples())
    failed = [finding for finding in actual if finding.check == "embeds"]
    assert [finding.verdict for finding in failed] == ["failed"] * 2
    assert failed[0].value == f"{type(error).__name__}: {' '.join(str(error).split())}"
    assert failed[0].advice


def test_memory_on_a_cpu_is_called_what_it_is(monkeypatch):
    sizes_bytes = iter([10_000_000, 17_000_000] * 2)
    monkeypatch.setattr(doctor, "_resident_bytes", lambda: next(sizes_bytes))
    assert all(", 7 MB more resident afterwards;" in value for value in speeds())
    monkeypatch.setattr(doctor, "_resident_bytes", lambda: 0)  # where that cannot be known
    assert not any("MB" in value for value in speeds())


def test_memory_on_a_gpu_is_the_peak_of_the_batch_alone(monkeypatch):
    import torch

    class Memory:
        held, peak = 50_000_000, 900_000_000  # of what came before

    def reset(device):
        assert device == "cuda:1"
        Memory.peak = Memory.held

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: Memory.held)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: Memory.peak + 8_000_000)
    assert all(", 8 MB of GPU memory at the peak;" in value for value in speeds(device="cuda:1"))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        verdicts(Encoder(CG.spec), goldens=tmp_path / "file" / "x")


def test_an_item_that_cannot_be_embedded_and_modalities_without_samples():
    class Refusing(Encoder):
        def embed(self, modality, items):
            if modality == "audio":
                raise MediaError("cannot decode", fix="repair it")
            return super().embed(modality, items)

    actual = verdicts(Refusing(CG.spec))
    assert actual["embeds", "audio"] == "failed"
    assert actual["spread", "text"] == "ok"
    actual = examine(Encoder(CG.spec), {"text": samples()["text"]})
    assert [f.verdict for f in actual if f.modality == "audio"] == ["skipped"]
