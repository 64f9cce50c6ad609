"""A cluster of two nodes on this machine, one CPU each, for the tests of this folder."""

import os
import signal
import warnings
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

SUPPORT = Path(__file__).parents[2] / "support"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def _own_signals():
    """Handlers from before Ray, which sets its own with each node that this process starts."""
    return [(number, signal.getsignal(number)) for number in (SIGINT, SIGTERM)]


@pytest.fixture(autouse=True)
def _give_signals_back(_own_signals):
    yield
    for number, handler in _own_signals:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def cluster(_own_signals):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    # Workers import steps from where the tests do.
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{SUPPORT}"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes.add_node(num_cpus=1)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    os.environ.clear()
    os.environ.update(before)
    yield nodes
    ray.shutdown()
    nodes.shutdown()
