import numpy as np
import pytest
from fakes import CG, Encoder

from reactions.doctor import examine
from reactions.errors import MediaError, StoreError
from reactions.kinds import Item


def samples(n=8):
    return {m: [Item(f"{m}{i}", m, None) for i in range(n)] for m in ("audio", "text")}


def verdicts(encoder, **options):
    """(check, modality) to verdict."""
    found = examine(encoder, samples(), **options)
    assert all(f.advice for f in found if f.verdict == "failed")
    return {(f.check, f.modality): f.verdict for f in found}


class Changed(Encoder):
    """An encoder whose text rows go through a function."""

    def __init__(self, change):
        super().__init__(CG.spec)
        self._change = change

    def embed(self, modality, items):
        rows = super().embed(modality, items)
        return self._change(rows) if modality == "text" else rows


def test_a_healthy_space_passes(tmp_path):
    found = verdicts(Encoder(CG.spec), goldens=tmp_path)
    assert set(found.values()) == {"ok"}
    checks = {check for check, modality in found if modality == "text"}
    assert checks == {
        "dimensions",
        "unit norms",
        "same again",
        "alone or in a batch",
        "spread",
        "speed",
        "stored outputs",
    }


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
def test_what_is_wrong_is_told_of_the_tower_alone(change, check):
    found = verdicts(Changed(change))
    assert found[check, "text"] == "failed"
    assert "failed" not in {v for (_, modality), v in found.items() if modality == "audio"}


def test_outputs_that_changed_since_they_were_stored(tmp_path):
    assert verdicts(Encoder(CG.spec), goldens=tmp_path)["stored outputs", "text"] == "ok"
    turned = Changed(lambda rows: rows[:, ::-1].copy())
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "failed"
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "failed"
    assert verdicts(turned, goldens=tmp_path, renew=True)["stored outputs", "text"] == "ok"
    assert verdicts(turned, goldens=tmp_path)["stored outputs", "text"] == "ok"


def test_a_damaged_record_is_made_anew(tmp_path):
    verdicts(Encoder(CG.spec), goldens=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert verdicts(Encoder(CG.spec), goldens=tmp_path)["stored outputs", "text"] == "ok"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        verdicts(Encoder(CG.spec), goldens=tmp_path / "file" / "x")


def test_an_item_that_cannot_be_embedded_and_modalities_without_samples():
    class Refusing(Encoder):
        def embed(self, modality, items):
            if modality == "audio":
                raise MediaError("cannot decode", fix="mend it")
            return super().embed(modality, items)

    found = verdicts(Refusing(CG.spec))
    assert found["embeds", "audio"] == "failed"
    assert found["spread", "text"] == "ok"
    found = examine(Encoder(CG.spec), {"text": samples()["text"]})
    assert [f.verdict for f in found if f.modality == "audio"] == ["skipped"]
