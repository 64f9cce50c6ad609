import contextlib
import os
import threading

import pytest
from toy import counting, executor
from toy_steps import make_step

from reactions.core.errors import UsageError
from reactions.core.step import Artifact
from reactions.encoding.prefetch import default_workers
from reactions.run.device import resolve_devices, shared_cpu
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def gpus(monkeypatch):
    """Let torch seem to have some CUDA devices; notes which one each thread works on."""
    torch = pytest.importorskip("torch")
    current = {}

    @contextlib.contextmanager
    def device(name):
        thread = threading.get_ident()
        before, current[thread] = current.get(thread), name
        yield
        current[thread] = before

    def install(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "device", device)
        return current

    return install


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:", "cuda:x", "", "mps", "cuda:1 ", "cuda:0,", "cpu,tpu", ",cpu"]
)
def test_devices_that_mean_nothing(store, device):
    with pytest.raises(UsageError, match="unknown device"):
        executor(store, device=device)


@pytest.mark.parametrize(
    ("device", "what"),
    [
        ("cpu,cuda:0", "'cpu' cannot be combined with other devices"),
        ("cuda:0,cpu,cuda:1", "'cpu' cannot be combined with other devices"),
        ("auto,cpu", "'auto' cannot be combined with other devices"),
        ("cuda:0,cuda", "'cuda' cannot be combined with other devices"),
        ("cuda,cuda", "'cuda' cannot be combined with other devices"),
        ("cuda:0,cuda:1,cuda:0", "device 'cuda:0' is named twice"),
        ("cuda:1,cuda:01", "device 'cuda:1' is named twice"),
    ],
)
def test_devices_that_do_not_go_together(store, device, what):
    with pytest.raises(UsageError) as caught:
        executor(store, device=device)
    assert caught.value.what == what
    assert caught.value.why
    assert caught.value.fix


def test_devices_that_are_not_there(store, gpus):
    gpus(0)
    with pytest.raises(UsageError, match="no device 'cuda:0'") as caught:
        executor(store, device="cuda:0").run([counting([], "a")])
    assert caught.value.fix == "--device cpu"
    with pytest.raises(UsageError, match="no device 'cuda'"):
        resolve_devices("cuda")
    gpus(2)
    with pytest.raises(UsageError, match=r"torch sees 2 CUDA device\(s\)"):
        executor(store, device="cuda:2").run([counting([], "a")])
    with pytest.raises(UsageError, match="no device 'cuda:9'"):
        resolve_devices("cuda:0,cuda:9")


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [
        ("auto", 0, ("cpu",)),
        ("auto", 1, ("cuda:0",)),
        ("auto", 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda", 2, ("cuda:0", "cuda:1")),
        ("cuda:2,cuda:0", 3, ("cuda:2", "cuda:0")),
        ("cpu", 2, ("cpu",)),
        ("cpu,cpu,cpu", 0, ("cpu", "cpu", "cpu")),
    ],
)
def test_one_worker_a_device(gpus, device, count, expected):
    gpus(count)
    assert resolve_devices(device) == expected


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda:0"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_the_device_a_step_sees(store, gpus, device, count, expected):
    current = gpus(count)
    devices_seen = []

    def run(context, inputs, start, stop):
        devices_seen.append((context.device, current.get(threading.get_ident(), "cpu")))
        return Artifact({})

    executor(store, device=device).run([make_step("train", "t", {}, (), run)])
    assert devices_seen == [(expected, expected)]
    assert set(current.values()) <= {None}


def test_each_worker_has_a_device_of_its_own(store, gpus):
    current = gpus(3)
    devices_seen, both = set(), threading.Barrier(2, timeout=120)

    def run(context, inputs, start, stop):
        both.wait()
        devices_seen.add((context.device, current[threading.get_ident()]))
        return Artifact({})

    steps = [make_step("train", "t", {"n": n}, (), run) for n in range(2)]
    executor(store, device="cuda:0,cuda:2").run(steps)
    assert devices_seen == {("cuda:0", "cuda:0"), ("cuda:2", "cuda:2")}


@pytest.mark.gpu
def test_cuda_calls_that_name_no_device_go_to_the_workers_own(store):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    devices = resolve_devices("cuda")
    devices_seen, all_of_them = set(), threading.Barrier(len(devices), timeout=120)

    def run(context, inputs, start, stop):
        all_of_them.wait()
        assert str(torch.empty(1, device="cuda").device) == context.device
        devices_seen.add(context.device)
        return Artifact({})

    steps = [make_step("train", "t", {"n": n}, (), run) for n in range(len(devices))]
    executor(store, device="cuda").run(steps)
    assert devices_seen == set(devices)


@pytest.mark.parametrize(
    ("threads", "workers", "share"), [(8, 2, 4), (8, 3, 2), (1, 4, 1), (6, 1, 6)]
)
def test_workers_share_the_cpu(store, threads, workers, share, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("MOLSPACE_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    before = torch.get_num_threads()
    feeding: list[int] = []
    thread_counts, together = [], threading.Barrier(workers, timeout=120)

    def run(context, inputs, start, stop):
        together.wait()
        thread_counts.append(torch.get_num_threads())
        feeding.append(default_workers("cuda:0"))
        return Artifact({})

    steps = [make_step("train", "t", {"n": n}, (), run) for n in range(workers)]
    torch.set_num_threads(threads)
    try:
        executor(store, device=",".join(["cpu"] * workers)).run(steps)
        assert torch.get_num_threads() == threads
        with pytest.raises(KeyError), shared_cpu(workers):
            raise KeyError
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert thread_counts == [share] * workers
    assert feeding == [12 // workers] * workers  # of the cores, for what feeds each GPU
