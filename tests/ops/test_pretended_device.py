"""The pretended CUDA device finds what a GPU would punish."""

import numpy as np
import pytest
import torch
from pretend_cuda import CudaTensor, StreamError, pretend_cuda
from pretend_streams import Stream

from reactions.ops.retrieval import soft_retrieve
from reactions.ops.tiles import Tiling


@pytest.fixture
def machine(monkeypatch):
    with pretend_cuda(monkeypatch) as machine:
        yield machine


def retrieve(precision="fast"):
    rows = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    tiling = Tiling(query_rows=20, block_rows=10, key_rows=16)
    return soft_retrieve(
        rows, rows, [rows], temperature=0.05, device="cuda:0", precision=precision, tiling=tiling
    )


def test_what_is_there_is_there(machine):
    x = torch.ones(3).to("cuda:0")
    assert isinstance(x, CudaTensor)
    assert (x.device, x.is_cuda, x.cpu().is_cuda) == (torch.device("cuda:0"), True, False)
    y = torch.full((3,), 2.0, device=x.device) + x
    assert torch.equal(y.cpu(), torch.full((3,), 3.0))
    assert y.sum().item() == 9
    with pytest.raises(TypeError, match="numpy"):
        y.numpy()


def test_gradients_and_modules(machine):
    layer = torch.nn.Linear(3, 2).to("cuda:0")
    layer(torch.ones(5, 3, device="cuda:0")).sum().backward()
    assert layer.weight.grad.device.type == "cuda"
    assert torch.equal(layer.weight.grad.cpu(), torch.full((2, 3), 5.0))
    with pytest.raises(RuntimeError, match="same device"):
        layer(torch.ones(5, 3))


@pytest.mark.parametrize(
    "mixed",
    [
        lambda here, there: here + there,
        lambda here, there: torch.mm(there, here),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch.add(here, here, out=there),
        lambda here, there: torch.where(there > 0, here, there),
    ],
)
def test_devices_do_not_mix(machine, mixed):
    with pytest.raises(RuntimeError, match="device"):
        mixed(torch.ones(4, 4), torch.ones(4, 4, device="cuda:0"))


@pytest.mark.parametrize(
    ("left", "right", "dtype"),
    [
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.float32, torch.float32, torch.float16),
    ],
)
def test_products_come_out_in_few_types(machine, left, right, dtype):
    a, b = (torch.ones(8, 8, device="cuda:0", dtype=kind) for kind in (left, right))
    with pytest.raises(RuntimeError):
        torch.mm(a, b, out_dtype=dtype)


def test_half_products_are_summed_in_float32(machine):
    a = torch.full((1, 4096), 0.1, device="cuda:0", dtype=torch.float16)
    product = torch.mm(a, a.T, out_dtype=torch.float32).cpu()
    assert product.item() == pytest.approx(4096 * float(torch.tensor(0.1).half()) ** 2, rel=1e-6)


def test_only_what_depends_on_values_does_without_fakes(machine):
    retrieve()
    assert set(machine.unchecked) == {"aten::nonzero"}
    assert machine.ran["aten::mm.dtype"] > 4


def test_retrieval_makes_the_host_wait_for_nothing_but_its_end(machine):
    retrieve("exact")
    assert machine.waits == 0


def test_a_stream_that_is_not_waited_for(machine, monkeypatch):
    monkeypatch.setattr(Stream, "wait_event", lambda self, event: None)
    with pytest.raises(StreamError, match="waited for"):
        retrieve()


def broken(monkeypatch, module, name):
    monkeypatch.setattr(module, name, lambda *_: None)
    with pretend_cuda(monkeypatch):
        retrieve("exact")


def test_memory_of_another_stream_that_is_not_recorded(monkeypatch):
    with pytest.raises(StreamError, match="record_stream"):
        broken(monkeypatch, CudaTensor, "record_stream")


def test_a_copy_to_the_host_that_is_not_waited_for(monkeypatch):
    with pytest.raises(StreamError, match="never waited for"):
        broken(monkeypatch, Stream, "synchronize")


def test_a_copy_to_the_host_that_is_read_early(machine):
    x = torch.ones(5, device="cuda:0")
    for pinned, waits in ((False, 1), (True, 0)):
        out = torch.empty(5, pin_memory=pinned)
        before = machine.waits
        out.copy_(x, non_blocking=True)
        assert machine.waits - before == waits
        if pinned:
            with pytest.raises(StreamError, match="has not ended"):
                out.sum()
        torch.cuda.synchronize()
        assert out.sum() == 5


def test_memory_is_taken_and_given_back(machine):
    before = machine.streams.taken_bytes
    x = torch.ones(1000, device="cuda:0")
    view = x[:10]
    assert machine.streams.taken_bytes - before == 4000
    y = x + 1
    assert machine.streams.taken_bytes - before == 8000
    del x, y
    assert machine.streams.taken_bytes - before == 4000  # the view refers to all of it
    del view
    assert machine.streams.taken_bytes == before
    assert machine.streams.most_bytes >= 8000


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_retrieval_stays_within_its_budget(machine, precision):
    rows = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float16)
    budget, values = 16 << 20, [rows, rows[:, :32].copy()]
    options = {"temperature": 0.05, "device": "cuda:0", "precision": precision}
    soft_retrieve(rows[:1000], rows, values, **options, memory_bytes=budget)
    tile_bytes = 4 * 1000 * 1000
    assert tile_bytes < machine.streams.most_bytes <= budget
    assert machine.streams.taken_bytes == 0
