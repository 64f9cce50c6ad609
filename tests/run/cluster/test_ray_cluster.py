"""A real cluster on this machine: the same results, whoever dies."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cluster_steps import Slow
from plain_steps import load_encoder, plan
from small_reaction import react
from toy import contents

from reactions.core.errors import DataError, StepError, UsageError
from reactions.run import events as ev
from reactions.run import orders
from reactions.run.cluster.executor import RayExecutor
from reactions.run.local import LocalExecutor
from reactions.store import Store

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def _no_twins(monkeypatch):
    """A slow machine is not a reason to make rows twice, which tests count."""
    monkeypatch.setattr(orders, "_LEAST_S", 3600.0)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def run(store, step, on_event=lambda event: None, **options):
    events = []

    def note(event):
        events.append(event)
        on_event(event)

    options = {"device": "cpu", "load_encoder": load_encoder, **options}
    executor = RayExecutor(store, events=note, **options)
    return executor.run([step])[step.key], events


def warnings(events):
    return [event.message for event in events if isinstance(event, ev.StoreWarning)]


def rows(result):
    return result.arrays["x"][:][:, 0].tolist()


def test_it_makes_what_this_machine_makes(cluster, store, tmp_path):
    result, events = run(store, plan())
    local_store = Store(tmp_path / "local")
    expected = LocalExecutor(local_store, device="cpu", load_encoder=load_encoder).run([plan()])
    assert result.arrays["total"][:] == expected[plan().key].arrays["total"][:]
    assert contents(store.root) == contents(local_store.root)
    assert not warnings(events)
    kinds = [type(event) for event in events]
    assert kinds.count(ev.StepFinished) == 6
    assert kinds.count(ev.StepMeasured) == 2
    assert not list(store.root.glob("locks/*"))


def test_both_nodes_work(cluster, store, log):
    step = Slow(n_rows=6, log=log, together=2)
    result, _ = run(store, step)
    assert rows(result) == list(range(6))
    assert len(step.pids()) == 2
    assert all(step.begun(row) == 1 for row in range(6))


def test_a_killed_worker_costs_the_shard_in_flight(cluster, store, log):
    step = Slow(n_rows=5, log=log, seconds=0.1, deadly=(2,))
    result, events = run(store, step)
    assert rows(result) == list(range(5))
    assert [step.begun(row) for row in range(5)] == [1, 1, 2, 1, 1]
    assert any("rows 2 to 3 of 'slow 0'" in warning for warning in warnings(events))


def test_work_that_kills_every_worker_is_refused(cluster, store, log):
    step = Slow(n_rows=3, log=log, deadly=(1,), deaths=99)
    with pytest.raises(StepError, match="lost 3 workers"):
        run(store, step)
    assert step.begun(1) == 3


def test_bad_input_is_not_tried_again(cluster, store, log):
    step = Slow(n_rows=3, log=log, bad=1)
    with pytest.raises(DataError, match="row 1 is bad") as caught:
        run(store, step)
    assert caught.value.fields["step"] == "slow 0"
    assert step.begun(1) == 1


def test_a_lost_node_and_one_that_comes(cluster, store, log):
    node = cluster.add_node(num_cpus=1)
    step = Slow(n_rows=12, log=log, seconds=0.6)
    has_gone = threading.Event()

    def take_away(event):
        if isinstance(event, ev.StepProgress) and event.done >= 3 and not has_gone.is_set():
            has_gone.set()
            cluster.remove_node(node, allow_graceful=False)

    result, _ = run(store, step, take_away)
    assert has_gone.is_set()
    assert rows(result) == list(range(12))
    assert sum(step.begun(row) - 1 for row in range(12)) <= 1


def test_interrupts_leave_the_cluster_clean(cluster, store, log):
    import ray

    step = Slow(n_rows=4, log=log, seconds=30)

    def interrupt(event):
        if isinstance(event, ev.StepStarted):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(store, step, interrupt)
    until_s = time.monotonic() + 120
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < until_s, ray.available_resources()
        time.sleep(0.1)
    assert not list(store.root.glob("locks/*"))


def test_a_dead_driver_s_work_goes_on_in_another(cluster, store, log):
    step = Slow(n_rows=14, log=log, held_from=6)
    driver = _driver(cluster, store, step)
    until_s = time.monotonic() + 120
    while len(list(log.glob("*.done.*"))) < 3 and time.monotonic() < until_s:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    driver.stderr.close()
    assert 3 <= len(list(log.glob("*.done.*"))) <= 6
    (log / "go").touch()
    result, _ = run(store, step)
    assert rows(result) == list(range(14))
    # Two workers, each with at most one shard in flight when the driver died.
    assert sum(step.begun(row) - 1 for row in range(14)) <= 2


def test_what_the_cluster_has_not_is_refused(cluster, store, log):
    step = Slow(n_rows=1, log=log)
    with pytest.raises(UsageError, match="no GPU that Ray knows of"):
        run(store, step, device="cuda")
    with pytest.raises(UsageError, match="has 64 CPUs") as caught:
        run(store, step, address="?cpus=64")
    assert "nodes have 1, 1" in caught.value.why


def test_a_reaction_from_the_command_line(cluster, made_locally, tmp_path):
    digest, stored, errors = react(tmp_path, f"ray:{cluster.address}")
    slow = "workers have not started yet"  # on a busy machine
    assert not [line for line in errors if slow not in line]
    assert digest == made_locally[0]
    assert sorted(stored) == sorted(made_locally[1])
    assert stored == made_locally[1]


def test_kills_at_random_moments(cluster, store, log):
    """``MOLSPACE_KILLS`` of them: workers and drivers, killed with SIGKILL until all is done."""
    n_kills, n_rows = int(os.environ.get("MOLSPACE_KILLS", "3")), 10
    rng = random.Random(n_kills)
    step = Slow(n_rows=n_rows, log=log, seconds=0.3)
    killed = drivers = 0
    driver = _driver(cluster, store, step)
    until_s = time.monotonic() + 120 + 30 * n_kills
    while driver.poll() != 0 and time.monotonic() < until_s:
        if driver.poll() is not None:
            assert driver.returncode in (-signal.SIGKILL, 4), driver.stderr.read()
            drivers += 1
            step = Slow(n_rows=n_rows, seed=step.seed, log=log, seconds=0.3)
            driver = _driver(cluster, store, step)
        elif killed < n_kills and list(log.glob("*.begun.*")):
            time.sleep(rng.uniform(0.05, 1.0))
            victim = rng.choice(["driver", *sorted(step.pids())])
            with contextlib.suppress(ProcessLookupError):
                driver.kill() if victim == "driver" else os.kill(victim, signal.SIGKILL)
                killed += 1
        else:
            time.sleep(0.1)
        if driver.poll() == 0 and killed < n_kills:
            step = Slow(n_rows=n_rows, seed=step.seed + 1, log=log, seconds=0.3)
            driver = _driver(cluster, store, step)
    assert driver.wait(1) == 0
    assert killed == n_kills
    assert list(store.verify()) == []
    until_s = time.monotonic() + 120  # the last workers are just ending
    while (left := _debris(store)) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert left == []
    for seed in range(step.seed + 1):
        artifact = store.lookup(Slow(n_rows=n_rows, seed=seed, log=log).key)
        assert rows(artifact) == list(range(n_rows))
    # Each kill costs at most what two workers had in hand.
    n_begun = len(list(log.glob("*.begun.*")))
    assert n_begun <= n_rows * (step.seed + 1) + 2 * killed


def _debris(store):
    """Clean up; return what stays of the locks, leases and shards of killed processes."""
    store.gc()
    patterns = ("locks/*", "partial/*", "leases/*.lease")
    return [path.name for pattern in patterns for path in store.root.glob(pattern)]


def _driver(cluster, store, step):
    """Start a process that runs a step on the cluster."""
    code = (
        "import sys; from pathlib import Path; from cluster_steps import Slow\n"
        "from plain_steps import load_encoder; from reactions.store import Store\n"
        "from reactions.run.cluster.executor import RayExecutor\n"
        f"step = Slow(n_rows={step.n_rows}, seed={step.seed}, log=Path({str(step.log)!r}), "
        f"seconds={step.seconds}, held_from={step.held_from})\n"
        f"RayExecutor(Store(Path({str(store.root)!r})), device='cpu', "
        f"address={cluster.address!r}, load_encoder=load_encoder).run([step])\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stderr=subprocess.PIPE, text=True
    )
