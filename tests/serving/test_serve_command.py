"""``molspace serve`` as a process: it says where it is, answers, and ends with Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from command_line import molspace


def run(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "molspace_cli", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("with_token", [False, True])
def test_it_serves_until_it_is_interrupted(with_token):
    options = ["--token"] if with_token else []
    process = run("CLAP_m", "--port", "0", "--json", *options)
    try:
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            text += line
        said_where = json.loads(text)
        assert said_where["schema"] == "molspace.serve/1"
        assert said_where["address"].startswith("http://127.0.0.1:")
        assert bool(said_where["token"]) is with_token
        request = urllib.request.Request(said_where["address"].partition("?")[0] + "api/about")
        if with_token:
            request.add_header("Authorization", f"Bearer {said_where['token']}")
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["expression"] == "CLAP_m"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "lab: mini" in errors
    assert errors.rstrip().endswith("ended")
    assert "Traceback" not in errors
    assert said_where["token"] is None or said_where["token"] not in errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--index", "nowhere"], 3, "no index at 'nowhere'"),
        (["CLAPm"], 2, "did you mean 'CLAP_m'"),
        (["CLAP_m", "--port", "70000"], 2, "--port"),
        (["CLAP_m", "--host", "no such host"], 2, "cannot serve at"),
    ],
)
def test_mistakes_are_told_before_anything_is_served(arguments, code, message):
    refused = molspace("serve", *arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
