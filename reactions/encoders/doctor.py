"""Examining a space before it is used: what it promises, compared with what it does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reactions.core.errors import DataError, MolspaceError
from reactions.core.hashing import digest
from reactions.core.types import Encoder, Item, Modality, SpaceSpec, Waveform
from reactions.encoders.spread import MAX_COSINE, remember, rms_cosine
from reactions.encoders.stored_outputs import read_rows, write_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["ok", "warning", "failed", "skipped"]

ITEMS = 32
"""Enough that a collapsed tower shows, few enough for a large model on a CPU."""

MAX_DRIFT = 1e-3
"""Largest change of a row, as a length, between runs, batch sizes and stored outputs.

Other batch sizes choose other kernels, which round otherwise: about 1e-6 in float32, 5e-4 in
float16. A random crop moves a row by 0.1 and more.
"""

MAX_DRIFT_BFLOAT16 = 2e-2
"""The same between batch sizes and stored outputs, for encoders that compute in bfloat16.

It has three bits less than float16: a stand-in for InternVL-C's text tower, one layer deep,
was seen to move a row by 4.7e-3.
"""

MAX_NORM_ERROR = 1e-2

SPEED_S = 1.0
"""How long batches are timed, once the encoder is warm: one batch alone says little, for its
time doubles and halves with whatever else the machine does."""

SPEED_BATCHES = (3, 50)
"""At least, where they fit into twenty times ``SPEED_S``, and at most so many batches are timed."""

LONG_SECONDS = (15, 40)
"""Encoders of sound take about ten seconds: what they do with more is often left to chance."""

_LONG_RATE_HZ = 8000
_LOW_HZ, _HIGH_HZ = 100.0, 3500.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what.
        modality: of which tower; "" for the whole space.
        verdict: ``ok``, ``warning``, ``failed`` or ``skipped``.
        value: what was measured, for people.
        advice: what to do about it, "" if nothing.
    """

    check: str
    modality: Modality
    verdict: Verdict
    value: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def examine(
    encoder: Encoder,
    samples: Mapping[Modality, Sequence[Item]],
    *,
    goldens: Path | None = None,
    renew: bool = False,
    device: str = "cpu",
    for_plans: bool = False,
    began: Callable[[Modality, int], None] = lambda modality, n: None,
) -> list[Finding]:
    """Examine a loaded space.

    Sounds longer than most encoders take are tried besides the samples, where any sound is;
    not with embeddings that are only looked up.

    Args:
        encoder: the space.
        samples: at least four diverse items for each modality that can be tried.
        goldens: folder in which outputs are kept: the first examination stores them, later
            ones compare. None keeps nothing.
        renew: store this examination's outputs in place of earlier ones.
        device: on which the encoder computes: its memory is watched.
        for_plans: keep how far apart embeddings are: plans warn of collapsed towers.
        began: called with a modality and its number of samples, before they are embedded.

    Raises:
        StoreError: the folder cannot be written.
    """
    spec = encoder.spec
    findings = [_weights(spec)]
    findings += [
        Finding("weights", modality, "ok", f"in a file of its own  sha256 {digest[:12]}")
        for modality, digest in spec.tower_digests
    ]
    outputs: _Outputs = {}
    for modality in spec.modalities:
        items = list(samples.get(modality, ()))
        if len(items) < 4:
            findings.append(
                Finding("samples", modality, "skipped", "there are no sample items to try it on")
            )
            continue
        began(modality, len(items))
        try:
            findings += _tower(encoder, modality, items, outputs, device)
            if modality == "audio" and modality in outputs and spec.adapter != "precomputed":
                findings += _long_sounds(encoder, outputs)
        except MolspaceError as error:
            advice = error.fix or error.why or "use other weights"
            findings.append(Finding("embeds", modality, "failed", error.what, advice))
        except Exception as error:  # any error of a broken model is a finding
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            advice = "its weights and its settings do not fit together: use others"
            findings.append(Finding("embeds", modality, "failed", what, advice))
    if for_plans:
        for modality, (_, rows) in outputs.items():
            remember(spec, modality, rms_cosine(rows))
    if goldens is not None:
        findings += _compare(spec, outputs, goldens, renew)
    return findings


_Outputs = dict[Modality, tuple[list[str], "NDArray[np.float32]"]]
"""Modality to the ids and rows that are kept."""


def rising_sound(seconds: int) -> Item:
    """Return a tone that rises throughout, so that no two crops of it are alike."""
    samples = (0.5 * rising_tone(seconds, _LONG_RATE_HZ)).astype(np.float32)
    return Item(f"rising-{seconds}s", "audio", Waveform(samples, _LONG_RATE_HZ))


def rising_tone(seconds: float, rate_hz: int) -> NDArray[np.float64]:
    """Return the samples of a sine, from -1 to 1, whose frequency rises from 100 to 3500 Hz."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    octaves = np.log(_HIGH_HZ / _LOW_HZ) / seconds
    # The integral of a frequency that rises exponentially from _LOW_HZ to _HIGH_HZ.
    tone: NDArray[np.float64] = np.sin(2 * np.pi * _LOW_HZ * np.expm1(octaves * t) / octaves)
    return tone


def _weights(spec: SpaceSpec) -> Finding:
    if not spec.weights_digest:
        return Finding(
            "weights", "", "warning", f"{spec.source}: no digest", "results are kept by its place"
        )
    return Finding("weights", "", "ok", f"{spec.source}  sha256 {spec.weights_digest[:12]}")


def _tower(
    encoder: Encoder,
    modality: Modality,
    items: list[Item],
    outputs: _Outputs,
    device: str,
) -> list[Finding]:
    spec = encoder.spec
    encoder.embed(modality, items[:1])  # what the first call sets up is not timed
    before = _memory_before(device)
    rows = encoder.embed(modality, items)  # nor is the first whole batch
    memory = _memory_since(device, before)
    shape = (len(items), spec.dim)
    if rows.shape != shape:
        advice = f"{shape} was promised"
        return [Finding("dimensions", modality, "failed", f"shape {rows.shape}", advice)]
    findings = [Finding("dimensions", modality, "ok", str(spec.dim))]
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        value = f"NaN or infinity for {len(bad)} of {len(items)} items"
        return [*findings, Finding("finite", modality, "failed", value, "use other weights")]
    outputs[modality] = [item.id for item in items], rows
    worst = float(np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max())
    findings.append(
        Finding(
            "unit norms",
            modality,
            "ok" if worst <= MAX_NORM_ERROR else "failed",
            f"off by at most {worst:.1e}",
            "" if worst <= MAX_NORM_ERROR else "the encoder has to normalise its rows",
        )
    )
    again, rates = _timed(encoder, modality, items)
    alone = np.concatenate([encoder.embed(modality, [item]) for item in items[:4]])
    findings.append(
        _drift("same again", modality, rows, again, "an item's embedding is left to chance")
    )
    findings.append(
        _drift(
            "alone or in a batch",
            modality,
            rows[:4],
            alone,
            "padding or cropping leaks in",
            limit=_rounding(spec, modality),
        )
    )
    findings.append(_spread(modality, rows))
    rate = float(np.median(rates))
    spread = f" ({min(rates):,.1f} to {max(rates):,.1f})" if len(rates) > 1 else ""
    batches = f"{len(rates)} batches" if len(rates) > 1 else "a batch"
    findings.append(
        Finding(
            "speed",
            modality,
            "ok",
            f"{rate:,.1f} items/s{spread} in {batches} of {len(items)}{memory}; "
            f"a million take {_hours(1e6 / rate)}",
        )
    )
    return findings


def _timed(
    encoder: Encoder, modality: Modality, items: list[Item]
) -> tuple[NDArray[np.float32], list[float]]:
    """Embed a batch again and again; return the rows of the first, and items a second of each."""
    least, most = SPEED_BATCHES
    rates: list[float] = []
    began_s = time.perf_counter()
    first: NDArray[np.float32] | None = None
    while True:
        batch_s = time.perf_counter()
        rows = encoder.embed(modality, items)
        now_s = time.perf_counter()
        first = rows if first is None else first
        rates.append(len(items) / max(now_s - batch_s, 1e-9))
        budget_s = SPEED_S if len(rates) >= least else 20 * SPEED_S
        if now_s - began_s >= budget_s or len(rates) >= most:
            return first, rates


def _long_sounds(encoder: Encoder, outputs: _Outputs) -> list[Finding]:
    """Embed long sounds again and alone: crops drawn at random show here, and only here."""
    items = [rising_sound(seconds) for seconds in LONG_SECONDS]
    rows = encoder.embed("audio", items)
    again = encoder.embed("audio", items)
    alone = np.concatenate([encoder.embed("audio", [item]) for item in items])
    ids, other_rows = outputs["audio"]
    if rows.shape == (len(items), other_rows.shape[1]) and np.isfinite(rows).all():
        outputs["audio"] = [*ids, *(item.id for item in items)], np.concatenate([other_rows, rows])
    advice = "long sounds are cropped at random: the same sound has to give the same embedding"
    both = np.concatenate([again, alone])
    twice = np.concatenate([rows, rows])
    limit = _rounding(encoder.spec, "audio")
    return [_drift("long sounds", "audio", twice, both, advice, limit=limit)]


def _rounding(spec: SpaceSpec, modality: Modality) -> float:
    """Return how far a row may move where other kernels round it."""
    tag = dict(spec.preprocessing).get(modality, "")
    halved = tag.endswith("-bf16") or spec.adapter.endswith("_bfloat16")
    return MAX_DRIFT_BFLOAT16 if halved else MAX_DRIFT


def _drift(
    check: str,
    modality: Modality,
    rows: NDArray[np.float32],
    other: NDArray[np.float32],
    advice: str,
    *,
    limit: float = MAX_DRIFT,
) -> Finding:
    if rows.shape != other.shape:
        return Finding(check, modality, "failed", f"shapes {rows.shape} and {other.shape}", advice)
    worst = float(np.linalg.norm((rows - other).astype(np.float64), axis=1).max())
    fine = worst <= limit
    return Finding(
        check,
        modality,
        "ok" if fine else "failed",
        f"differs by {worst:.1e}",
        "" if fine else advice,
    )


def _spread(modality: Modality, rows: NDArray[np.float32]) -> Finding:
    """Recognise a collapsed tower: one that says nearly the same of everything."""
    n = len(rows)
    cosines = rows.astype(np.float64) @ rows.astype(np.float64).T
    mean = float((cosines.sum() - np.trace(cosines)) / (n * (n - 1)))
    # Rows along one line, in both directions, are as little: their squares say so.
    fine = rms_cosine(rows) <= MAX_COSINE
    return Finding(
        "spread",
        modality,
        "ok" if fine else "failed",
        f"mean pairwise cosine {mean:.4f}",
        "" if fine else "the tower has collapsed: take other weights",
    )


def _compare(
    spec: SpaceSpec,
    outputs: _Outputs,
    folder: Path,
    renew: bool,
) -> list[Finding]:
    findings = []
    for modality, (ids, rows) in outputs.items():
        path = folder / f"{digest('golden', [spec.identity(modality), modality, ids])[:24]}.json"
        try:
            stored = None if renew else read_rows(path)
        except DataError as error:
            value = f"{error.what}: {error.why}"
            findings.append(Finding("stored outputs", modality, "failed", value, error.fix))
            continue
        if stored is None:
            write_rows(path, spec, modality, rows)
            value = f"stored now, at {path}"
            findings.append(Finding("stored outputs", modality, "ok", value))
            continue
        advice = "weights, libraries or the device changed; if that is meant: --renew"
        limit = _rounding(spec, modality)
        findings.append(_drift("stored outputs", modality, stored, rows, advice, limit=limit))
    return findings


def _memory_before(device: str) -> int:
    """Return what is in use before a batch; on CUDA the peak is measured from here on."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return _resident_bytes()


def _memory_since(device: str, before: int) -> str:
    """Return in words what a batch took: on CUDA its peak, elsewhere what stayed afterwards."""
    if device.startswith("cuda"):
        import torch

        peak_bytes = int(torch.cuda.max_memory_allocated(device)) - before
        return f", {peak_bytes / 1e6:,.0f} MB of GPU memory at the peak"
    after = _resident_bytes()
    if not after:
        return ""
    # Not a peak: what was freed in between, and came from memory held already, is not seen.
    return f", {max(0, after - before) / 1e6:,.0f} MB more resident afterwards"


def _resident_bytes() -> int:
    """Return the memory this process holds; 0 where that cannot be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # not Linux
        return 0


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
