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
def cluster():
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    # Workers import steps from where the tests do.
    before, handlers = dict(os.environ), [(n, signal.getsignal(n)) for n in (SIGINT, SIGTERM)]
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{SUPPORT}"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes.add_node(num_cpus=1)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    os.environ.clear()
    os.environ.update(before)
    for number, handler in handlers:  # Ray sets its own
        signal.signal(number, handler)
    yield nodes
    ray.shutdown()
    nodes.shutdown()
