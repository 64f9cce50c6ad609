"""What may be opened by address: plain protocols alone, without passwords, when it is allowed."""

import ast
import json
from pathlib import Path

import fsspec
import pytest

from reactions.core import protocols, remote, storage
from reactions.core.errors import MolspaceError, UsageError
from reactions.core.protocols import NotLookedAt, check_address, check_use, host_of, offline

ROOT = Path(__file__).parents[2]

PLAIN = [
    "file:///a/b",
    "http://example.org/a.csv",
    "https://example.org/a.csv",
    "s3://bucket/a*.tar",
    "gs://bucket/a",
    "gcs://bucket/a",
    "az://container/a",
    "abfs://container@account.dfs.core.windows.net/a",
    "hf://datasets/org/name@main/a.parquet",
    "simplecache::s3://bucket/a",
    "filecache::https://example.org/a",
    "blockcache::simplecache::gs://bucket/a",
]

REFUSED = [
    "reference::file://refs.json",
    "reference::https://example.org/refs.json",
    "reference://refs.json",
    "simplecache::reference::file://refs.json",
    "file::reference::file://refs.json",
    "zip://a::https://example.org/a.zip",
    "simplecache::zip://a::https://example.org/a.zip",
    "tar://a::file:///a.tar",
    "cached::s3://bucket/a",
    "dir::s3://bucket",
    "dask::s3://bucket",
    "github://org:repo@main/a",
    "git://a",
    "gist://a",
    "sftp://host/a",
    "ssh://host/a",
    "smb://host/a",
    "ftp://host/a",
    "webhdfs://host/a",
    "hdfs://host/a",
    "arrow_hdfs://host/a",
    "libarchive://a",
    "jupyter://host/a",
    "dbfs://a",
    "data://x",
    "generic://a",
    "local://a",
    "asyncwrapper::file://a",
    "root://host/a",
    "oci://a",
    "REFERENCE::file://a",
    "S3://bucket/a",
    # What comes after an address is chained by fsspec, too.
    "https://example.org/a::reference://b",
    "s3://bucket/a::reference",
    "simplecache::https://example.org/a::file:///refs.json",
    "simplecache::refs.json",
    "hf://datasets/a/b::reference://",
]


@pytest.mark.parametrize("url", PLAIN)
def test_plain_protocols_and_caches_are_opened(url):
    check_address(url)


@pytest.mark.parametrize("url", REFUSED)
def test_everything_else_is_refused_before_fsspec_sees_it(url, monkeypatch):
    def reached(*args, **options):
        raise AssertionError("fsspec was asked")

    monkeypatch.setattr(fsspec, "filesystem", reached)
    monkeypatch.setattr(fsspec.core, "url_to_fs", reached)
    remote_files = remote.RemoteFiles()
    for use in (check_address, check_use, remote_files.find, remote_files.read, remote_files.walk):
        with pytest.raises(UsageError, match="cannot read"):
            use(url)
    for use in (remote_files.is_folder, remote_files.open_binary):
        with pytest.raises(UsageError, match="cannot read"):
            use(url)


def test_braces_hide_nothing():
    for pattern in ("https://example.org/a:{:reference://b,c}", "https://example.org/{a::b,c}"):
        with pytest.raises(UsageError, match="cannot read"):
            storage.find(pattern)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@example.org/a",
        "https://token@example.org/a",
        "s3://key:secret@bucket/a",
        "hf://token@org/name/a",
        "simplecache::https://me:secret@example.org/a",
        "abfs://me:secret@account.dfs.core.windows.net/a",
    ],
)
def test_addresses_with_passwords_are_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        check_address(url)
    report = json.dumps(caught.value.to_json()) + str(caught.value)
    assert "secret" not in report
    assert "token" not in report


def test_a_template_of_a_reference_file_never_runs(tmp_path):
    proof = tmp_path / "ran"
    run = "{{ cycler.__init__.__globals__.os.system('touch " + str(proof) + "') }}"
    refs = {"version": 1, "templates": {"u": run}, "refs": {"a.txt": [run]}}
    (tmp_path / "refs.json").write_text(json.dumps(refs))
    for url in (
        f"reference::file://{tmp_path}/refs.json",
        f"reference::{tmp_path}/refs.json",
        f"simplecache::reference::file://{tmp_path}/refs.json",
    ):
        if storage.is_url(url):
            with pytest.raises(UsageError):
                storage.find(url)
        assert not proof.exists()


def test_only_three_modules_know_fsspec():
    """What users name, which is checked first; results, of a few protocols; clouds for both."""
    users = []
    for path in sorted((ROOT / "reactions").rglob("*.py")) + sorted(
        (ROOT / "molspace_cli").rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            if any(name.split(".")[0] == "fsspec" for name in names):
                users.append(path.relative_to(ROOT).as_posix())
    assert set(users) == {
        "reactions/core/clouds.py",
        "reactions/core/remote.py",
        "reactions/store/services.py",
    }


def test_a_denied_network_opens_nothing_remote(monkeypatch):
    def reached(*args, **options):
        raise AssertionError("fsspec was asked")

    protocols.deny_network("plan does not use the network", "add --online")
    monkeypatch.setattr(fsspec, "filesystem", reached)
    monkeypatch.setattr(fsspec.core, "url_to_fs", reached)
    for url in ("s3://bucket/a", "https://example.org/a", "simplecache::gs://bucket/a"):
        with pytest.raises(NotLookedAt, match="not looked at") as caught:
            storage.read(url)
        assert caught.value.fix == "add --online"
    check_use("file:///a")
    protocols.allow_network()
    check_use("s3://bucket/a")


@pytest.mark.parametrize("name", protocols.OFFLINE_VARIABLES)
def test_offline_mode_holds_for_data_too(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert offline() == f"{name}=1"
    with pytest.raises(NotLookedAt) as caught:
        storage.find("https://example.org/a")
    assert f"{name}=1" in caught.value.why


def test_our_own_offline_variable_says_yes_or_no(monkeypatch):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "ja")
    with pytest.raises(UsageError, match="MOLSPACE_OFFLINE is 'ja'"):
        offline()
    for name in protocols.OFFLINE_VARIABLES:
        monkeypatch.setenv(name, "0" if name == "MOLSPACE_OFFLINE" else "ja")
    assert offline() == ""


def test_hosts_for_messages():
    assert host_of("https://example.org/a/b") == "https://example.org"
    assert host_of("simplecache::s3://bucket/a") == "s3://bucket"


def test_signatures_of_addresses_are_not_repeated():
    signed = "https://host/x.tar?X-Amz-Signature=SECRET"
    assert protocols.shown(signed) == "https://host/x.tar?..."
    assert protocols.shown(f"simplecache::{signed}") == "simplecache::https://host/x.tar?..."
    assert protocols.shown("s3://box/part-?.tar") == "s3://box/part-?.tar"  # a wildcard
    azure = "abfs://box@mine.dfs.core.windows.net/x"
    assert protocols.shown(azure) == azure
    assert protocols.shown(azure.replace("box", "me:SECRET")) == azure.replace("box", "...")
    assert protocols.shown("s3://SECRET@box/x") == "s3://...@box/x"
    for error in (OSError(f"403, url='{signed}'"), ValueError(f"no answer from {signed}")):
        with pytest.raises(MolspaceError) as caught, remote.explained(signed):
            raise error
        report = f"{caught.value} {caught.value.fields}"
        assert "SECRET" not in report
        assert "https://host/x.tar?..." in report
