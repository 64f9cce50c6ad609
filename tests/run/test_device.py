import pytest
from toy import counting, executor

from reactions.errors import UsageError
from reactions.graph import Artifact
from reactions.steps.step import make_step
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "mps", "cuda:1 "])
def test_devices_that_mean_nothing(store, device):
    with pytest.raises(UsageError, match="unknown device"):
        executor(store, device=device)


def test_devices_that_are_not_there(store, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no device 'cuda:0'") as caught:
        executor(store, device="cuda:0").run([counting([], "a")])
    assert caught.value.fix == "--device cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"torch sees 2 CUDA device\(s\)"):
        executor(store, device="cuda:2").run([counting([], "a")])


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda:0"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_the_device_a_step_sees(store, monkeypatch, device, count, expected):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    seen = []

    def run(context, inputs, start, stop):
        seen.append(context.device)
        return Artifact({})

    executor(store, device=device).run([make_step("train", "t", {}, (), run)])
    assert seen == [expected]
