"""Bundles of strangers: whatever their record and their tensors say, and however it is signed.

Each is refused with a MolspaceError, or embeds to finite rows of unit norm, within the limits.
"""

import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from altered_json import VALUES, altered
from bundles import GOLDEN
from fakes import Encoder
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from molspace_cli.app import app
from reactions.core.errors import MolspaceError
from reactions.core.hashing import bytes_digest, digest
from reactions.core.types import Item
from reactions.exchange.model_card import model_card
from reactions.inference.embedder import Embedder
from reactions.products.bundles.bundle import PROJECTORS, RECORD, Bundle, load_bundle
from reactions.products.target import Target
from reactions.products.tree import effective_factors

RECORD_BYTES = (GOLDEN / RECORD).read_bytes()
TENSOR_BYTES = (GOLDEN / PROJECTORS).read_bytes()


@contextmanager
def bundle_of(record: bytes, tensors: bytes) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / RECORD).write_bytes(record)
        (folder / PROJECTORS).write_bytes(tensors)
        yield folder
    finally:
        shutil.rmtree(folder)


def signed(record: Any, tensors: bytes) -> bytes:
    """Return a record with digests that fit, as far as it can have any."""
    if isinstance(record, dict):
        record = {key: value for key, value in record.items() if key != "digest"}
        files = record.get("files")
        if isinstance(files, dict) and isinstance(files.get(PROJECTORS), dict):
            entry = {"size_bytes": len(tensors), "sha256": bytes_digest(tensors)}
            record["files"] = {**files, PROJECTORS: {**files[PROJECTORS], **entry}}
        try:
            record["digest"] = digest("bundle", record)
        except (TypeError, ValueError, RecursionError):
            record["digest"] = "0" * 64
    return json.dumps(record).encode("utf-8", "surrogatepass")


def use(folder: Path) -> Bundle:
    """Do with a bundle what show, push, eval and infer do."""
    bundle = load_bundle(folder)
    model_card(bundle, "me/fused")
    effective_factors(bundle.space)
    json.dumps(dict(bundle.record), indent=1)
    space = bundle.space
    embedder = Embedder(
        Target(bundle.expression, space, bundle.lab, bundle),
        load_encoder=lambda spec, device: Encoder(spec),
        device="cpu",
    )
    for modality in space.modalities:
        rows = embedder.embed(modality, [Item("1", modality, "one"), Item("2", modality, "two")])
        assert rows.shape == (2, space.dim)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3)
    return bundle


def used_or_refused(record: bytes, tensors: bytes) -> Bundle | MolspaceError:
    with bundle_of(record, tensors) as folder:
        return usable_or_refused(lambda: use(folder))


def test_the_good_bundle_is_used() -> None:
    assert isinstance(used_or_refused(RECORD_BYTES, TENSOR_BYTES), Bundle)
    signed_again = signed(json.loads(RECORD_BYTES), TENSOR_BYTES)
    assert isinstance(used_or_refused(signed_again, TENSOR_BYTES), Bundle)


@fuzz
@given(altered(json.loads(RECORD_BYTES)))
def test_records_altered_and_signed_again_are_used_or_refused(record: Any) -> None:
    used_or_refused(signed(record, TENSOR_BYTES), TENSOR_BYTES)


@fuzz
@given(mutated(RECORD_BYTES, head_bytes=len(RECORD_BYTES)))
def test_damaged_records_are_used_or_refused(record: bytes) -> None:
    used_or_refused(record, TENSOR_BYTES)


@fuzz
@given(VALUES)
def test_any_json_is_refused(record: Any) -> None:
    assert isinstance(used_or_refused(signed(record, b""), b""), MolspaceError)


def header_of(blob: bytes) -> tuple[Any, bytes]:
    (n_bytes,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + n_bytes]), blob[8 + n_bytes :]


HEADER, DATA = header_of(TENSOR_BYTES)


@fuzz
@given(altered(HEADER))
def test_headers_altered_and_signed_again_are_used_or_refused(header: Any) -> None:
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    tensors = struct.pack("<Q", len(text)) + text + DATA
    used_or_refused(signed(json.loads(RECORD_BYTES), tensors), tensors)


@fuzz
@given(mutated(TENSOR_BYTES, head_bytes=len(TENSOR_BYTES) - len(DATA)))
def test_damaged_tensors_signed_again_are_used_or_refused(tensors: bytes) -> None:
    used_or_refused(signed(json.loads(RECORD_BYTES), tensors), tensors)


FILLS: dict[str, Callable[[np.ndarray], Any]] = {
    "zeros": np.zeros_like,
    "huge": lambda x: np.full_like(x, 3e38),
    "tiny": lambda x: np.full_like(x, 1e-45),
    "nan": lambda x: np.full_like(x, np.nan),
    "negative": lambda x: np.full_like(x, -3e38),
}


@fuzz
@given(st.sampled_from(sorted(FILLS)), st.sets(st.sampled_from(sorted(HEADER)), min_size=1))
def test_any_numbers_give_directions_or_are_refused(fill: str, names: set[str]) -> None:
    data = bytearray(DATA)
    for name in names:
        begin, end = HEADER[name]["data_offsets"]
        old = np.frombuffer(bytes(data[begin:end]), "<f4")
        data[begin:end] = FILLS[fill](old).astype("<f4").tobytes()
    tensors = TENSOR_BYTES[: len(TENSOR_BYTES) - len(DATA)] + bytes(data)
    used_or_refused(signed(json.loads(RECORD_BYTES), tensors), tensors)


@fuzz
@given(altered(json.loads(RECORD_BYTES)), st.sampled_from(["--json", None]))
def test_show_ends_with_a_table_or_an_error(record: Any, option: str | None) -> None:
    with bundle_of(signed(record, TENSOR_BYTES), TENSOR_BYTES) as folder:
        arguments = ["show", str(folder), *([option] if option else [])]
        result = CliRunner().invoke(app, arguments)
    if result.exit_code:
        assert isinstance(result.exception, MolspaceError), result.exception


@pytest.mark.parametrize("name", [RECORD, PROJECTORS])
def test_a_file_that_never_ends_is_refused(name: str) -> None:
    with bundle_of(RECORD_BYTES, TENSOR_BYTES) as folder:
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        assert isinstance(usable_or_refused(lambda: use(folder)), MolspaceError)
