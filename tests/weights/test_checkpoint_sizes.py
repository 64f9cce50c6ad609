"""Small checkpoints that would take much memory are refused, before they do."""

import codecs
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from reactions.core.errors import DataError
from reactions.weights.safe_load import read_tensors


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def bombs(folder: Path) -> dict[str, Path]:
    wide = torch.zeros(1).expand(50_000, 50_000)
    hex_of = Call(codecs.encode, "00", "latin1")
    for _ in range(34):
        hex_of = Call(codecs.encode, hex_of, "hex")
    shared = torch.zeros(1 << 18)
    values = {
        "stride-0": {"a": wide},
        "stride-0 inside": {"state_dict": {"a": wide}, "b": torch.zeros(1)},
        "bytearray": {"a": torch.zeros(1), "b": Call(bytearray, 10_000_000_000)},
        "hex": {"a": torch.zeros(1), "b": hex_of},
        "sparse": {"a": torch.sparse_coo_tensor(size=(1 << 20, 1 << 20), check_invariants=True)},
        "meta": {"a": torch.empty(1 << 20, 1 << 20, device="meta")},
        "shared": {str(i): shared for i in range(300)},
    }
    paths = {}
    for name, value in values.items():
        paths[name] = folder / f"{name}.pt"
        torch.save(value, paths[name])
        if name in ("stride-0", "bytearray", "hex"):
            paths[f"{name}, legacy"] = folder / f"{name}-legacy.pt"
            torch.save(value, paths[f"{name}, legacy"], _use_new_zipfile_serialization=False)
    source = folder / "zeros.pt"
    torch.save({"a": torch.zeros(1 << 22)}, source)
    paths["compressed"] = folder / "compressed.pt"
    with (
        zipfile.ZipFile(source) as archive,
        zipfile.ZipFile(paths["compressed"], "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for entry in archive.infolist():
            small.writestr(entry.filename, archive.read(entry))
    return paths


_LIMITED = """
import resource, sys
from pathlib import Path
from reactions.core.errors import DataError
from reactions.weights.safe_load import read_tensors
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_tensors(Path(path))
        print(path, "was read")
    except DataError as error:
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print("refused" if grown_kb < 200_000 else f"{path} took {grown_kb} kB")
"""


def test_small_checkpoints_take_little_memory(tmp_path):
    paths = [str(path) for path in bombs(tmp_path).values()]
    process = subprocess.run(
        [sys.executable, "-c", _LIMITED, *paths], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["refused"] * len(paths)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_models_are_saved_as_is_read(zipped, tmp_path):
    path = tmp_path / "model.pt"
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    model[1].weight = model[0].weight  # tied
    state = {
        **model.state_dict(),
        "positions": torch.arange(7).expand((1, -1)),
        "turned": torch.rand(3, 5).T,
        "parameter": nn.Parameter(torch.zeros(2)),
        "empty": torch.zeros(0, 4),
        "part": torch.arange(100)[10:20],
        "half": torch.zeros(3, dtype=torch.bfloat16),
    }
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    actual = read_tensors(path)
    assert all(torch.equal(actual[name], value) for name, value in state.items())


def test_every_prefix_of_a_checkpoint_is_refused_in_words(tmp_path):
    path = tmp_path / "model.pt"
    for zipped in (True, False):
        torch.save({"a": torch.ones(4)}, path, _use_new_zipfile_serialization=zipped)
        data = path.read_bytes()
        for n in range(0, len(data), 37):
            path.write_bytes(data[:n])
            with pytest.raises(DataError):
                read_tensors(path)


def test_a_plain_pickle_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"a": [1, 2]}, protocol=2))
    with pytest.raises(DataError):
        read_tensors(path)
