"""Answers of the server: searches, similarities, classes, and what it refuses."""

import json

import numpy as np
import pytest
from indexed import load_fake
from served import bench_at, client_of, media_items, send_file, wav_bytes

from reactions.core.types import Item
from reactions.inference.embedder import Embedder
from reactions.products.tree import NO_ADJUSTMENT, Adjustment


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_at(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def client(bench):
    return client_of(bench)


def embedded(bench, text, adjustment=NO_ADJUSTMENT):
    embedder = Embedder(bench.target, load_encoder=load_fake, device="cpu", adjustment=adjustment)
    return embedder.embed("text", [Item(text, "text", text)])


def test_about_says_what_is_served(client):
    about = client.get("/api/about").json()
    assert about["schema"] == "molspace.serve-about/1"
    assert about["modalities"] == ["audio", "image", "text"]
    assert list(about["takes_files"]) == ["image", "audio"]
    assert [c["expert"] for c in about["controls"]] == ["InternVL", "CLAP_m", "CLAP_g"]
    assert [c["option"] for c in about["controls"]] == ["lambda", "sigma", "sigma"]
    assert all(c["free"] for c in about["controls"])
    assert about["indexes"][0]["counts"] == {"audio": 6, "image": 6, "text": 6}


@pytest.mark.parametrize(
    ("settings", "adjustment"),
    [
        ({}, NO_ADJUSTMENT),
        (
            {"sigma": {"CLAP_m": {"audio": 0.9, "text": 0.8}}},
            Adjustment(sigma={"CLAP_m": (0.9, 0.8)}),
        ),
        (
            {
                "lambda": {"InternVL": {"image": 0.2, "text": 0.1}},
                "experts": ["InternVL", "CLAP_g"],
            },
            Adjustment(lambda_={"InternVL": (0.2, 0.1)}, experts=frozenset(("InternVL", "CLAP_g"))),
        ),
    ],
)
def test_hits_are_those_of_the_products_own_embeddings(bench, client, settings, adjustment):
    body = {"query": {"text": "a tall tree"}, "k": 4, **settings}
    results = client.post("/api/search", json=body).json()
    (expected,) = bench.indexes[0].search(
        embedded(bench, "a tall tree", adjustment), into="image", k=4, adjustment=adjustment
    )
    hits = results["groups"]["image"]["hits"]
    assert [hit["id"] for hit in hits] == [hit.item.id for hit in expected]
    np.testing.assert_allclose(
        [hit["score"] for hit in hits], [hit.score for hit in expected], atol=1e-5
    )
    assert set(results["groups"]) == {"audio", "image", "text"}


def test_sliding_runs_no_model_again(bench, client, monkeypatch):
    body = {"query": {"text": "only once"}, "k": 1}
    client.post("/api/search", json=body)

    def fail(*arguments):
        raise AssertionError("a model ran again")

    monkeypatch.setattr("reactions.search.atom_rows.AtomEmbedder.forward", fail)
    body["sigma"] = {"CLAP_g": {"audio": 0.3, "text": 0.3}}
    assert client.post("/api/search", json=body).status_code == 200
    assert client.post("/api/search", json={"query": {"text": "another"}}).status_code == 500


def test_the_command_does_the_same(bench, client):
    body = {
        "query": {"text": "two words"},
        "k": 3,
        "into": ["audio"],
        "sigma": {"CLAP_m": {"audio": 0.9, "text": 0.1}},
        "experts": ["CLAP_m", "InternVL"],
    }
    command = client.post("/api/search", json=body).json()["command"]
    directory = bench.indexes[0].directory
    assert command == (
        f"molspace search {directory} 'two words' --into audio -k 3 "
        "--sigma CLAP_m:audio=0.9,text=0.1 --experts CLAP_m,InternVL"
    )
    body = {"query": {"text": "--out; rm -rf /"}}
    command = client.post("/api/search", json=body).json()["command"]
    assert "'--text=--out; rm -rf /'" in command


def test_an_item_of_the_index_is_a_query(client):
    query = {"index": 0, "modality": "image", "number": 2}
    results = client.post("/api/search", json={"query": query, "k": 1}).json()
    (hit,) = results["groups"]["image"]["hits"]
    assert (hit["number"], hit["score"]) == (2, pytest.approx(1, abs=1e-5))
    assert results["command"] is None  # it lies in no file


def test_a_file_is_a_query(client):
    upload = send_file(client, wav_bytes(), "horn.wav").json()
    assert (upload["modality"], upload["name"]) == ("audio", "horn.wav")
    assert len(upload["peaks"]) == 72
    results = client.post("/api/search", json={"query": {"upload": upload["upload"]}}).json()
    assert results["groups"]["text"]["hits"]
    assert "--audio horn.wav" in results["command"]


def test_similarities_are_cosines(bench, client):
    items = [{"text": "one"}, {"text": "two"}, {"index": 0, "modality": "audio", "number": 1}]
    settings = {"sigma": {"CLAP_m": {"audio": 0.2, "text": 0.7}}}
    adjustment = Adjustment(sigma={"CLAP_m": (0.2, 0.7)})
    similarity = client.post("/api/similarity", json={"items": items, **settings}).json()
    rows = np.concatenate(
        [
            embedded(bench, "one", adjustment),
            embedded(bench, "two", adjustment),
            bench.indexes[0].rows("audio", [1], adjustment),
        ]
    )
    np.testing.assert_allclose(similarity["cosines"], rows @ rows.T, atol=1e-4)


def test_without_its_experts_a_modality_says_why(tmp_path):
    from fakes import CM, VL, cr

    bench = bench_at(tmp_path, [*media_items(tmp_path / "media", 1)], cr(VL, CM))
    body = {"query": {"text": "x"}, "experts": []}
    results = client_of(bench).post("/api/search", json=body).json()
    assert results["groups"]["image"]["hits"]
    assert "audio" in results["groups"]["audio"]["error"]["what"]


def test_fixed_factors_are_shown_and_refused(tmp_path):
    from fakes import CM, IB, VL, cr, dr

    bench = bench_at(tmp_path, space=dr(cr(IB, CM), VL))
    client = client_of(bench)
    controls = {c["expert"]: c["free"] for c in client.get("/api/about").json()["controls"]}
    assert controls == {"CLAP_m": False, "InternVL": True}
    body = {"query": {"text": "x"}, "sigma": {"CLAP_m": {"audio": 0.9, "text": 0.9}}}
    refused = client.post("/api/search", json=body)
    assert refused.status_code == 400
    assert "cannot be changed" in refused.json()["what"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "no query"),
        ({"query": {}}, 400, "one thing"),
        ({"query": {"text": "a", "upload": "b"}}, 400, "one thing"),
        ({"query": {"text": "  "}}, 400, "empty"),
        ({"query": {"text": 3}}, 400, "a string"),
        ({"query": {"text": "x" * 2001}}, 413, "2001 characters"),
        ({"query": {"upload": "0" * 32}}, 404, "no longer held"),
        ({"query": {"text": "a"}, "kk": 3}, 400, "'kk'"),
        ({"query": {"text": "a"}, "k": 0}, 400, "'k'"),
        ({"query": {"text": "a"}, "k": True}, 400, "'k'"),
        ({"query": {"text": "a"}, "k": 101}, 400, "'k'"),
        ({"query": {"text": "a"}, "index": 7}, 404, "no index 7"),
        ({"query": {"text": "a"}, "into": ["smell"]}, 400, "no smell"),
        ({"query": {"text": "a"}, "into": []}, 400, "'into'"),
        ({"query": {"index": 0, "modality": "image", "number": 99}}, 404, "no image number 99"),
        ({"query": {"index": 0, "modality": "../etc", "number": 0}}, 404, "number 0"),
        ({"query": {"text": "a"}, "experts": ["CLAP"]}, 400, "no expert 'CLAP'"),
        ({"query": {"text": "a"}, "experts": "CLAP_m"}, 400, "list of names"),
        ({"query": {"text": "a"}, "sigma": 0.5}, 400, "must be an object"),
        ({"query": {"text": "a"}, "sigma": {"CLAP_m": {"audio": "x"}}}, 400, "must be a number"),
        ({"query": {"text": "a"}, "sigma": {"CLAP_m": {"audio": 2, "text": 0}}}, 400, "outside"),
        ({"query": {"text": "a"}, "sigma": {"CLAP_m": {"audio": 0.5}}}, 400, "no factor for text"),
        ({"query": {"text": "a"}, "sigma": {"CLAP": {"audio": 0.5, "text": 1}}}, 400, "'CLAP'"),
    ],
)
def test_what_cannot_be_meant_is_refused(client, body, status, message):
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status
    error = answer.json()
    assert error["schema"] == "molspace.error/1"
    assert message in error["what"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b'{"query": {"text": NaN}}', "a string"),
    ],
)
def test_bodies_that_are_no_requests(client, content, message):
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/search", content=content, headers=headers)
    assert (answer.status_code, message in answer.json()["what"]) == (400, True)


def test_not_a_number_is_no_factor(client):
    text = '{"query": {"text": "a"}, "sigma": {"CLAP_m": {"audio": NaN, "text": 0.1}}}'
    answer = client.post("/api/search", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_large_bodies_are_not_read(client):
    answer = client.post("/api/search", json={"query": {"text": "x" * (70 << 10)}})
    assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge")

    def chunks():  # no Content-Length
        for _ in range(80):
            yield b" " * 1024

    answer = client.post(
        "/api/search", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_similarities_of_too_many(client):
    items = [{"text": str(i)} for i in range(17)]
    answer = client.post("/api/similarity", json={"items": items})
    assert (answer.status_code, answer.json()["what"]) == (413, "17 items")
    assert client.post("/api/similarity", json={"items": []}).status_code == 400


def test_unknown_addresses_are_typed_errors(client):
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/assets/../app.py"),
        ("GET", "/assets/%2e%2e%2fapp.py"),
        ("GET", "/assets/index.html"),
        ("DELETE", "/api/about"),
    ):
        answer = client.request(method, path)
        assert answer.status_code in (404, 405)
        assert answer.json()["schema"] == "molspace.error/1"


def test_a_bug_is_an_answer_without_a_trace(client, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("secret of the server")

    monkeypatch.setattr("reactions.serving.bench.Bench.search", fail)
    answer = client.post("/api/search", json={"query": {"text": "a"}})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["what"] == "the server failed"


def test_classes_need_a_knowledge_base(client, bench):
    answer = client.post("/api/classes", json={"query": {"text": "a"}, "knowledge": "nothing"})
    assert answer.status_code == 400
    assert "no knowledge base 'nothing'" in answer.json()["what"]
    answer = client.post("/api/classes", json={"query": {"text": "a"}})
    assert "'knowledge' must be a string" in answer.json()["what"]


def test_classes_are_those_that_the_library_names(client, bench, monkeypatch):
    from reactions.core.centre_options import CentreOptions
    from reactions.core.step import Artifact
    from reactions.inference.classify import Classifier

    rows = np.eye(bench.target.space.dim, dtype=np.float32)[:3]
    arrays = {"centres": rows[:, None], "counts": np.ones(3, np.int64)}
    options, calls = CentreOptions(), []

    def make_namer(session, target, centres, classes, adjustment):
        calls.append(adjustment)
        artifact = Artifact(arrays, {})
        return Classifier.of(("ant", "bee", "cat"), options, {"kb": "kb"}, (), artifact, "cpu")

    monkeypatch.setattr("reactions.centres.classifier", make_namer)
    body = {"query": {"text": "six legs"}, "knowledge": "kb", "top": 2}
    answer = client.post("/api/classes", json=body).json()
    scores = embedded(bench, "six legs")[0, :3]
    best = [("ant", "bee", "cat")[i] for i in np.argsort(-scores)[:2]]
    assert [entry["class"] for entry in answer["classes"]] == best
    assert answer["of"] == 3
    client.post("/api/classes", json=body)
    assert len(calls) == 1  # kept for these factors
    client.post("/api/classes", json={**body, "experts": ["InternVL"]})
    assert len(calls) == 2


def test_items_to_begin_with(client):
    listing = client.get("/api/indexes/0/text?start=2&n=2").json()
    assert [item["label"] for item in listing["items"]] == ["text 2", "text 3"]
    assert client.get("/api/indexes/0/smell").json()["items"] == []
    assert client.get("/api/indexes/0/text?n=x").status_code == 400
    assert client.get("/api/indexes/3/text").status_code == 404


def test_a_server_without_an_index(tmp_path):
    from indexed import session_here, target_at

    from reactions.inference.embedder import LoadedParts
    from reactions.serving.bench import Bench

    target = target_at(tmp_path / "bundle")
    bench = Bench(session_here(), target, [], parts=LoadedParts(target, load_fake, "cpu"))
    client = client_of(bench)
    assert client.get("/api/about").json()["indexes"] == []
    answer = client.post("/api/search", json={"query": {"text": "a"}})
    assert (answer.status_code, answer.json()["what"]) == (404, "this server has no index 0")
    body = {"items": [{"text": "a"}, {"text": "b"}]}
    assert client.post("/api/similarity", json=body).status_code == 200


def test_answers_are_json_that_every_parser_reads(client):
    text = client.post("/api/search", json={"query": {"text": "a"}}).text
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
