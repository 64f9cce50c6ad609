"""What can follow ``--executor ray:``."""

import socket

import pytest

from reactions.core.errors import UsageError
from reactions.run.cluster import executor
from reactions.run.cluster.address import AskedCluster, asked


@pytest.mark.parametrize(
    ("address", "device", "expected"),
    [
        ("", "auto", AskedCluster()),
        ("auto", "auto", AskedCluster()),
        ("10.0.0.1:6379", "cpu", AskedCluster("10.0.0.1:6379", "cpu")),
        ("", "cpu,cpu", AskedCluster(kind="cpu", workers=2)),
        ("?workers=3", "cuda", AskedCluster(kind="cuda", workers=3)),
        ("h:1?workers=3&cpus=2", "cpu", AskedCluster("h:1", "cpu", 3, 2)),
        ("?accelerator=H100", "auto", AskedCluster(kind="cuda", accelerator="H100")),
        ("?workers=5", "cpu,cpu", AskedCluster(kind="cpu", workers=5)),
    ],
)
def test_it_is_read(address, device, expected):
    assert asked(address, device) == expected


@pytest.mark.parametrize(
    ("address", "device", "message"),
    [
        ("ray://head:10001", "auto", "is not an address of a cluster's node"),
        ("?worker=3", "auto", "did you mean 'workers'"),
        ("?workers=0", "auto", "not a number from 1"),
        ("?workers=two", "auto", "not a number from 1"),
        ("?workers=", "auto", "not a number from 1"),
        ("?workers=1&workers=2", "auto", "given twice"),
        ("?accelerator=", "auto", "not a name"),
        ("?accelerator=H100", "cpu", "--device cpu uses none"),
        ("", "cuda:1", "--executor ray:?workers=1"),
        ("", "cuda:0,cuda:1", "ray:?workers=2"),
        ("", "gpu", "unknown device"),
    ],
)
def test_what_cannot_be_meant_is_refused(address, device, message):
    with pytest.raises(UsageError) as caught:
        asked(address, device)
    assert message in str(caught.value)


def test_a_head_that_does_not_answer_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        executor._check_answers(address)
    for place in (address, "127.0.0.1:99999"):
        with pytest.raises(UsageError, match="cannot reach the Ray cluster at") as caught:
            executor._check_answers(place)
        assert "nothing answers there" in caught.value.why
    for other in ("", "auto", "local", "HOST"):
        executor._check_answers(other)


def test_workers_are_sent_settings_and_no_secrets():
    settings = {
        "MOLSPACE_CACHE": "s3://box/prefix",
        "MOLSPACE_DATA": "/data/a?b",
        "XDG_CACHE_HOME": "/scratch",
        "HF_HOME": "/hub",
        "TRANSFORMERS_OFFLINE": "1",
        "AWS_ENDPOINT_URL": "http://10.0.0.1:9000",
        "AWS_REGION": "eu-central-1",
    }
    secrets = {
        "HF_TOKEN": "SECRET",
        "MOLSPACE_API_KEY": "SECRET",
        "HF_HUB_AUTH": "SECRET",
        "MOLSPACE_SERVE_PASSWORD": "SECRET",
        "HF_ENDPOINT": "https://name:SECRET@mirror",
        "MOLSPACE_LAB": "https://host/lab.toml?sig=SECRET",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_ACCESS_KEY_ID": "SECRET",
        "AWS_SESSION_TOKEN": "SECRET",
        "AWS_PROFILE": "mine",
        "OPENAI_API_KEY": "SECRET",
        "HTTPS_PROXY": "http://name:SECRET@proxy",
        "PATH": "/bin",
    }
    assert executor.sent_environment(settings | secrets) == settings
