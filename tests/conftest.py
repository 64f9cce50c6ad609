"""What every test wants: no trace left on the machine, and one thread."""

import itertools
import os
import re
import signal
import sys

import hypothesis
import pytest

from reactions.core.environment import VARIABLES

# How long an example takes says more about the machine than about the code. Examples are the same
# in every run, or a change would fail by those that it happens to meet; make fuzz tries many more.
hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

# What a developer has set is not for tests, nor for what several of them share.
_OTHERS = ("AWS_", "HF_", "HUGGINGFACE_", "OPENAI_", "SLURM_", "TRANSFORMERS_")
for _name in list(os.environ):
    if _name.startswith(_OTHERS) or (_name in VARIABLES and _name.startswith("MOLSPACE_")):
        del os.environ[_name]

# Servers that tests start are not asked through a proxy, if this machine has one.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "127.0.0.1,localhost,::1"]))

# What a test writes need not outlive a power failure, and disks take long to promise that.
os.fsync = lambda fd: None

# What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_numbers = itertools.count()


@pytest.fixture
def tmp_path(request, tmp_path_factory):
    """A folder of the test's own; pytest's fixture would look through those of all others."""
    name = re.sub(r"\W", "_", request.node.name)[:24]
    path = tmp_path_factory.getbasetemp() / "tests" / f"{name}-{next(_numbers)}"
    path.mkdir(mode=0o700, parents=True)
    return path


@pytest.fixture(autouse=True)
def _own_machine(tmp_path, monkeypatch):
    """Send the cache, bundles and settings of a test to its own folder; nothing else is set.

    A variable that the test sets, by itself or through the code, is as before when it has ended.
    """
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MOLSPACE_CACHE", str(tmp_path / "cache"))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture(autouse=True)
def _nothing_to_report():
    """Forget what earlier tests left for the end of a command: each has a process of its own."""
    if (noticed := sys.modules.get("reactions.modalities.noticed")) is not None:
        noticed.take()
    if (remote := sys.modules.get("reactions.core.remote")) is not None:
        remote._just_found.clear()  # another test's server may have had the same port


@pytest.fixture(autouse=True)
def _one_thread():
    """Keep torch to one thread, for those tests that load it."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _lance(request):
    """Skip what is parametrized with the format where its package, a large one, is missing."""
    values = getattr(getattr(request.node, "callspec", None), "params", {}).values()
    if any(isinstance(value, str) and value == "lance" for value in values):
        pytest.importorskip("lance", reason="pylance is not installed")


@pytest.fixture(autouse=True)
def _memory_is_remote(monkeypatch):
    """Let tests keep remote files in memory, which no command opens."""
    from reactions.core import protocols

    monkeypatch.setattr(protocols, "PROTOCOLS", protocols.PROTOCOLS | {"memory"})
    monkeypatch.setattr(protocols, "_denied", None)


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.gpu), "pretended"])
def cuda(request, monkeypatch):
    """Give the name of a CUDA device: a GPU, where there is one, and anywhere a pretended one."""
    import torch

    if request.param == "real":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        yield "cuda:0"
        return
    from pretend_cuda import pretend_cuda

    with pretend_cuda(monkeypatch):
        yield "cuda:0"
