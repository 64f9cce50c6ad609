"""Where on a cluster workers are wanted: one a node, one a GPU, or a number anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reactions.core.errors import UsageError, suggestion
from reactions.run.cluster.address import AskedCluster

_LOOK_EVERY_S = 5.0


@dataclass(eq=False, slots=True)
class Place:
    """Room for one worker.

    Attributes:
        name: of the node, or what stands for it.
        options: that Ray places an actor by.
        threads: of torch; 0 for its own choice.
        node: id of the only node that it may be on; "" for any.
        is_free: no worker is there, or on its way.
        starts: how many were started.
    """

    name: str
    options: Mapping[str, Any]
    threads: int
    node: str = ""
    is_free: bool = True
    starts: int = 0


class Places:
    """The places of a run. Nodes that come later add to them, as far as workers are wanted.

    Args:
        asked: what the user asked for.
        most: as many units of work can be done at a time.
        nodes: returns what Ray knows of the nodes; see ``ray.nodes``.

    Attributes:
        device: of each worker: ``"cpu"``, or ``"cuda:0"``, as Ray shows it one GPU alone.
        wants: what a worker needs, for messages.

    Raises:
        UsageError: the cluster has no such GPU, or no node with so many CPUs.
    """

    def __init__(self, asked: AskedCluster, most: int, nodes: Callable[[], Sequence[Any]]) -> None:
        self._asked = asked
        self._most = most
        self._nodes = nodes
        alive = self._alive()
        n_gpus = sum(_count(node, "GPU") for node in alive if self._suits(node))
        on_gpus = asked.kind == "cuda" or (asked.kind == "auto" and n_gpus > 0)
        if on_gpus and n_gpus == 0:
            raise self._no_gpu(alive)
        cpus = asked.cpus or 1
        if max((_count(node, "CPU") for node in alive), default=0) < cpus:
            raise UsageError(
                f"no node of the cluster has {cpus} CPUs for a worker",
                why=f"nodes have {', '.join(str(_count(node, 'CPU')) for node in alive) or 'none'}",
                fix="?cpus=N with a smaller N",
            )
        self.device = "cuda:0" if on_gpus else "cpu"
        self._by_node = not on_gpus and asked.workers is None
        gpu = f"a GPU {asked.accelerator}".strip()
        self.wants = f"{gpu} each" if on_gpus else f"{cpus} or more CPUs each"
        self._places: list[Place] = []
        self._looked_s = time.monotonic()
        self._add_places(alive)

    def free(self) -> list[Place]:
        """Return where a worker should be started."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            self._add_places(self._alive())
        return [place for place in self._places if place.is_free]

    def may_come(self, most_starts: int) -> bool:
        """Return whether a worker may still be started somewhere."""
        return any(place.is_free and place.starts < most_starts for place in self._places)

    def _add_places(self, alive: Sequence[Any]) -> None:
        asked = self._asked
        if self._by_node:
            ids = {node["NodeID"] for node in alive}
            # A place whose node is gone is none any more.
            self._places = [p for p in self._places if p.node in ids or not p.is_free]
            node_ids = {place.node for place in self._places}
            for node in alive:
                cpus = asked.cpus or _count(node, "CPU")
                room = len(self._places) < self._most
                if room and node["NodeID"] not in node_ids and 0 < cpus <= _count(node, "CPU"):
                    self._places.append(_on_node(node, cpus))
            return
        if self.device == "cpu":
            n_places = asked.workers or 1
        else:
            gpus = sum(_count(node, "GPU") for node in alive if self._suits(node))
            n_places = min(asked.workers or gpus, gpus)
        cpus = asked.cpus or 1
        options: dict[str, Any] = {"num_cpus": cpus, "scheduling_strategy": "SPREAD"}
        if self.device != "cpu":
            options["num_gpus"] = 1
        if asked.accelerator:
            options["accelerator_type"] = asked.accelerator
        while len(self._places) < min(n_places, self._most):
            self._places.append(Place("a node of the cluster", options, cpus))

    def _alive(self) -> list[Any]:
        return [node for node in self._nodes() if node["Alive"]]

    def _suits(self, node: Any) -> bool:
        name = self._asked.accelerator
        return not name or f"accelerator_type:{name}" in node["Resources"]

    def _no_gpu(self, alive: Sequence[Any]) -> UsageError:
        prefix = "accelerator_type:"
        gpu_names = sorted(
            {n.removeprefix(prefix) for node in alive for n in node["Resources"] if prefix in n}
        )
        if self._asked.accelerator and gpu_names:
            what = f"no GPU '{self._asked.accelerator}' on the cluster"
            return UsageError(what, fix=suggestion(self._asked.accelerator, gpu_names))
        return UsageError(
            "the cluster has no GPU that Ray knows of",
            fix="--device cpu, or start its nodes with --num-gpus",
        )


def _on_node(node: Any, cpus: int) -> Place:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    options = {"num_cpus": cpus, "scheduling_strategy": where}
    return Place(node["NodeManagerHostname"], options, cpus, node["NodeID"])


def _count(node: Any, resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
