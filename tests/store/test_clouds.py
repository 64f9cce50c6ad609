"""What gs:// and az:// answer, and what the packages that speak to them make of it."""

import logging
import time
from types import SimpleNamespace

import pytest
from buckets import names
from emulators import ACCOUNT, ACCOUNT_KEY
from fsspec.asyn import get_loop
from store_toys import artifact, step

from reactions.core import remote
from reactions.core.errors import MissingError, StoreError, UsageError
from reactions.store import Store, objects, services
from reactions.store.objects import ObjectError, Objects

WHOLE = step(seed=7)


@pytest.fixture(params=["gs", "az"])
def server(request):
    return request.getfixturevalue(request.param)


def contents(store):
    return {n: a[:].tobytes() for n, a in store.lookup(WHOLE.key).arrays.items()}


@pytest.fixture
def unhushed(monkeypatch):
    """Loggers that nobody has hushed yet."""
    for name in ("gcsfs", "google", "adlfs", "azure"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])


def test_the_service_itself_refuses_a_second_put(server):
    there = Objects(server.address)
    assert there.create("lock", b"one")
    fs, root = there._open()
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{root}/lock", b"two", mode="create")
    assert there.is_conditional
    assert there.read("lock") == b"one"


def test_a_prefix_has_spaces_letters_of_all_languages_and_capitals(server):
    store = Store(f"{server.address}/Ein Präfix 的 100%+1")
    store.put(WHOLE, artifact())
    reopened = Store(store.address)
    assert [entry.key for entry in reopened.ls()] == [WHOLE.key]
    assert contents(reopened) == contents(store)
    assert list(reopened.verify()) == []
    assert not [name for name in names(reopened) if name.startswith("locks")]


def test_ranges_are_read_and_what_is_not_there_is_nowhere(server):
    there = Objects(server.address)
    there.write("x", b"0123456789")
    assert [there.read("x", 2, 5), there.read("x", 0, 1), there.read("x", 8, 99)] == [
        b"234",
        b"0",
        b"89",
    ]
    there.write("empty", b"")
    assert there.read("empty") == b""
    assert (there.find("y"), there.children("y"), there.exists("y")) == ({}, [], False)
    with pytest.raises(FileNotFoundError):
        there.read("y")
    with pytest.raises(FileNotFoundError):
        there.copy([("y", "z")])
    there.remove(["y"])


@pytest.mark.parametrize("answer", [500, 502, 503, 429, "cut", "lost"])
def test_what_fails_for_the_moment_is_asked_again(server, answer):
    there = Objects(server.address)
    there.write("x", b"0123456789")
    methods = []

    def door(method, path):
        if answer == "cut" and method != "GET":
            return None
        methods.append(method)
        return answer if len(methods) % 3 == 2 else None

    server.door = door
    for n in range(4):
        there.write(f"x{n}", b"1")
        assert there.create(f"new{n}", b"1")
        assert there.read("x") == b"0123456789"
    assert len(there.find("")) == 9
    assert len(methods) > 4


@pytest.mark.parametrize(("answer", "n_requests"), [(503, 5), (403, 1), (401, 1)])
def test_packages_do_not_try_again_by_themselves(server, answer, n_requests, unhushed, capfd):
    there = Objects(server.address)
    there.write("x", b"1")
    del server.seen[:]
    server.door = lambda method, path: answer
    with pytest.raises(ObjectError) as caught:
        there.read("x")
    assert len(server.seen) == n_requests
    assert caught.value.why.startswith("the service refuses it") == (answer != 503)
    assert "credentials" in caught.value.fix
    assert capfd.readouterr().err == ""  # nor log what the error says


def test_every_request_is_one_for_an_object(server):
    """gcsfs can ask for each bucket's kind, with a right that few have."""
    there = Objects(server.address)
    del server.seen[:]
    there.write("x", b"1")
    assert there.read("x") == b"1"
    assert len(server.seen) == 2


def test_a_bucket_that_is_not_there_is_named_as_what_is_wrong(server):
    protocol = server.address.partition(":")[0]
    store = Store(f"{protocol}://no-such-bucket/x")
    with pytest.raises(StoreError, match="bucket or container does not exist") as caught:
        store.put(WHOLE, artifact())
    assert "make it with the service's own tools" in caught.value.fix


@pytest.mark.parametrize("protocol", ["gs", "gcs", "az", "abfs"])
def test_a_bucket_in_capitals_is_refused(protocol):
    with pytest.raises(UsageError, match="'Box' is not") as caught:
        services.normal_url(f"{protocol}://Box/Some/Prefix")
    assert caught.value.fix == f"set MOLSPACE_CACHE to {protocol}://box/Some/Prefix"
    assert services.normal_url(f"{protocol}://box/Some") == f"{protocol}://box/Some"
    assert services.normal_url("s3://Box/x") == "s3://Box/x"  # old buckets have them


def test_a_key_of_azures_that_is_wrong_is_an_error_without_it(az, monkeypatch):
    wrong = ACCOUNT_KEY.replace("Eby8", "Wbx8")
    setting = "AZURE_STORAGE_CONNECTION_STRING"
    monkeypatch.setenv(setting, services.os.environ[setting].replace(ACCOUNT_KEY, wrong))
    with pytest.raises(StoreError, match="failed to authenticate") as caught:
        Store(az.address).put(WHOLE, artifact())
    assert wrong not in str(caught.value)
    assert "RequestId" not in str(caught.value)
    assert "check your credentials" in caught.value.fix


def test_items_are_read_from_there_too(server, unhushed, capfd):
    Objects(server.address).write("items/a b.txt", b"0123456789")
    files = remote.RemoteFiles()
    (entry,) = files.walk(f"{server.address}/items")
    assert entry.name == "a b.txt"
    assert files.read(entry.url, 2, 3) == b"234"
    assert [entry_there.url for entry_there in files.find(f"{server.address}/items/*.txt")] == [
        entry.url
    ]
    assert files.is_folder(f"{server.address}/items")
    assert capfd.readouterr().err == ""


def test_an_account_in_the_address_is_the_one_that_is_used(az):
    _, _, bucket, path = az.address.split("/", 3)
    Objects(f"abfs://{bucket}@{ACCOUNT}.dfs.core.windows.net/{path}").write("x", b"1")
    assert Objects(az.address).read("x") == b"1"
    with pytest.raises(UsageError, match="names the account 'other'") as caught:
        Store(f"abfs://{bucket}@other.dfs.core.windows.net/{path}")
    assert f"'{ACCOUNT}'" in caught.value.why
    with pytest.raises(UsageError, match="names the account 'other'"):
        remote.RemoteFiles().find(f"abfs://{bucket}@other.dfs.core.windows.net/{path}/x")


@pytest.mark.parametrize("setting", [None, "nonsense", "AccountName=x;AccountKey=hunter2=="])
def test_azures_credentials_that_are_none_are_no_missing_package(setting, monkeypatch):
    pytest.importorskip("adlfs")
    if setting is None:
        monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    else:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", setting)
    if setting is not None and "=" in setting:
        assert Store("az://box/x").address == "az://box/x"  # nothing is asked yet
        assert services.said(ValueError(f"bad: {setting}")) == "bad: ..."
        assert "hunter2" not in services.said(ValueError("odd AccountKey=hunter2== here"))
        return
    with pytest.raises(MissingError, match="cannot be opened") as caught:
        Store("az://box/x")
    assert "AZURE_STORAGE_CONNECTION_STRING" in caught.value.fix
    assert "pip" not in caught.value.fix


# What aiohttp says of both packages, in case a program has but one loop.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_a_large_upload_is_taken_up_whole(server, tmp_path):
    """gcsfs sends 5 MiB and more in parts of an upload that it begins and ends."""
    data = bytes(range(256)) * (24 << 10)
    (tmp_path / "x").write_bytes(data)
    there = Objects(server.address)
    there.upload([(tmp_path / "x", "large/x")])
    there.copy([("large/x", "large/y")])
    there.download("large/y", tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == data
    assert there.read("large/y", 5_000_000, 5_000_004) == data[5_000_000:5_000_004]


def test_the_times_of_objects_are_the_services(server):
    there = Objects(server.address)
    there.write("x", b"1")
    assert abs(there.info("x").written_s - time.time()) < 30
    assert there.find("")["x"] == there.info("x")
    assert objects.Objects(server.address).info("x").size_bytes == 1


class Begins:
    """Azure, as far as it copies: it answers before a copy is whole."""

    def __init__(self, *states):
        self._states, self.asked = list(states), []

    def cp_file(self, source, target):
        self.asked.append(("copy", source, target))

    @property
    def loop(self):
        return get_loop()

    @property
    def service_client(self):
        return self

    def split_path(self, path):
        return (*path.split("/", 1), None)

    def get_blob_client(self, container, blob):
        self.asked.append((container, blob))
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def get_blob_properties(self):
        return SimpleNamespace(
            copy=SimpleNamespace(status=self._states.pop(0), status_description="500")
        )


def test_a_copy_that_azure_has_only_begun_is_waited_for(monkeypatch):
    monkeypatch.setattr(services, "_COPY_PAUSE_S", 0.0)
    azure = Begins("pending", "pending", "success")
    services.copy_file(azure, "box/a", "box/deep/b")
    assert azure.asked == [("copy", "box/a", "box/deep/b"), ("box", "deep/b")]
    assert azure._states == []
    with pytest.raises(ConnectionError, match="failed: 500"):
        services.copy_file(Begins("pending", "failed"), "box/a", "box/b")
