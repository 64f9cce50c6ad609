"""Where workers are wanted, by what a cluster says of its nodes."""

import pytest

from reactions.core.errors import UsageError
from reactions.run.cluster import places
from reactions.run.cluster.address import asked

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def node(name, *, alive=True, **resources):
    node_id = name.encode().hex().ljust(56, "0")  # as long as Ray's
    return {"NodeID": node_id, "NodeManagerHostname": name, "Alive": alive, "Resources": resources}


def places_for(nodes, address="", device="auto", most=99):
    return places.Places(asked(address, device), most, lambda: nodes)


def test_a_worker_a_node_with_all_its_cpus():
    nodes = [node("a", CPU=4.0), node("b", CPU=8.0), node("c"), node("d", CPU=2.0, alive=False)]
    free = places_for(nodes).free()
    assert [(p.name, p.options["num_cpus"], p.threads) for p in free] == [("a", 4, 4), ("b", 8, 8)]


def test_nodes_with_too_few_cpus_are_left_out():
    nodes = [node("a", CPU=4.0), node("b", CPU=8.0)]
    assert [p.name for p in places_for(nodes, "?cpus=6").free()] == ["b"]
    with pytest.raises(UsageError, match="has 9 CPUs"):
        places_for(nodes, "?cpus=9")


def test_a_worker_a_gpu():
    nodes = [node("a", CPU=4.0, GPU=2.0), node("b", CPU=4.0, GPU=1.0)]
    cluster = places_for(nodes)
    assert cluster.device == "cuda:0"
    assert [p.options["num_gpus"] for p in cluster.free()] == [1, 1, 1]
    assert len(places_for(nodes, "?workers=2").free()) == 2
    assert len(places_for(nodes, "?workers=9").free()) == 3
    assert len(places_for(nodes, most=1).free()) == 1


def test_one_sort_of_gpu():
    h100 = {"accelerator_type:H100": 1.0}
    nodes = [node("a", CPU=4.0, GPU=2.0, **h100), node("b", CPU=4.0, GPU=1.0)]
    free = places_for(nodes, "?accelerator=H100").free()
    assert [p.options["accelerator_type"] for p in free] == ["H100", "H100"]
    with pytest.raises(UsageError, match="did you mean 'H100'"):
        places_for(nodes, "?accelerator=H10")
    with pytest.raises(UsageError, match="no GPU that Ray knows of"):
        places_for([node("a", CPU=1.0)], device="cuda")


def test_the_cpu_can_be_asked_for_where_there_are_gpus():
    cluster = places_for([node("a", CPU=4.0, GPU=2.0)], device="cpu,cpu,cpu")
    assert cluster.device == "cpu"
    assert len(cluster.free()) == 3


def test_nodes_that_come_later_and_those_that_go(monkeypatch):
    monkeypatch.setattr(places, "_LOOK_EVERY_S", 0.0)
    nodes = [node("a", CPU=1.0), node("b", CPU=1.0)]
    cluster = places_for(nodes)
    for place in cluster.free():
        place.is_free, place.starts = False, 1
    assert cluster.free() == []
    nodes.append(node("c", CPU=1.0))
    assert [p.name for p in cluster.free()] == ["c"]
    nodes[0]["Alive"] = False
    next(p for p in cluster._places if p.name == "a").is_free = True
    assert [p.name for p in cluster.free()] == ["c"]
    assert cluster.may_come(4)
