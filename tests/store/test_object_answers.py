"""What services answer in words of their own, and what is not repeated of their addresses."""

import errno

import pytest
from buckets import in_memory, names
from emulators import EVERYWHERE

from reactions.core.errors import MissingError, UsageError
from reactions.store import Store, objects, orphans, services
from reactions.store.objects import Objects
from reactions.store.services import normal_url


def test_a_condition_that_a_server_refuses_in_its_own_words(address, monkeypatch):
    """s3fs makes FileExistsError of a field that not every server sends."""
    remote = Objects(address)
    assert remote.create("lock", b"one")
    ask = remote._try

    def answer(call):
        try:
            return ask(call)
        except FileExistsError as error:
            words = "At least one of the pre-conditions you specified did not hold"
            raise objects.ObjectError(words, "") from error

    monkeypatch.setattr(remote, "_try", answer)
    assert not remote.create("lock", b"two")
    assert remote.create("lock", b"one")  # an earlier try of ours, whose answer was lost
    assert remote.create("other", b"two")


@pytest.mark.parametrize("query", ["?sv=1&sig=SECRET", "?AWSAccessKeyId=a&Signature=SECRET"])
def test_a_key_in_a_query_is_not_repeated(query):
    for protocol in ("s3", "az", "ftp"):
        with pytest.raises(UsageError) as caught:
            normal_url(f"{protocol}://box/x{query}")
        assert "SECRET" not in str(caught.value)
        assert "SECRET" not in str(caught.value.fields)


def test_a_disk_that_is_full_is_no_failure_of_the_service(address, tmp_path, monkeypatch):
    remote = Objects(address)
    remote.write("x", b"1")
    tries = []

    def full(*_):
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote._open()[0], "get_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        remote.download("x", tmp_path / "x")
    assert caught.value.errno == errno.ENOSPC
    assert tries == [1]


def test_an_answer_that_is_lost_makes_no_service_one_without_conditions(monkeypatch):
    remote = Objects(in_memory(monkeypatch))
    pid, fs, root = remote._opened
    paths_lost = []

    class LosesOne:
        def __getattr__(self, name):
            return getattr(fs, name)

        def pipe_file(self, path, data, mode="overwrite"):
            fs.pipe_file(path, data, mode=mode)
            if not paths_lost:
                paths_lost.append(path)
                raise ConnectionResetError("reset by peer")

    remote._opened = pid, LosesOne(), root
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)
    assert remote.create("lock", b"one")
    assert paths_lost
    assert remote.is_conditional


# --- conditions that are dropped ---


class _Forgets:
    """A file system whose puts drop the condition, as of a server that does not know it."""

    def __init__(self, fs):
        self._fs = fs

    def __getattr__(self, name):
        return getattr(self._fs, name)

    def pipe_file(self, path, data, mode="overwrite"):
        self._fs.pipe_file(path, data)


def test_a_service_that_drops_conditions_is_found_out(monkeypatch):
    remote = Objects(in_memory(monkeypatch))
    pid, fs, root = remote._opened
    remote._opened = pid, _Forgets(fs), root
    assert remote.create("lock", b"one")
    assert not remote.create("lock", b"two")
    assert remote.read("lock") == b"one"
    assert list(remote.find("")) == ["lock"]


@EVERYWHERE
def test_a_service_that_keeps_conditions_is_asked_once(address, monkeypatch):
    remote = Objects(address)
    names_put = []
    put = remote._put_new
    monkeypatch.setattr(
        remote, "_put_new", lambda name, data: names_put.append(name) or put(name, data)
    )
    assert remote.create("a", b"1")
    assert len(names_put) == 3
    assert remote.create("b", b"1")
    assert len(names_put) == 4
    assert sorted(remote.find("")) == ["a", "b"]


@pytest.mark.parametrize(("protocol", "package"), [("az", "adlfs"), ("s3", "s3fs")])
@pytest.mark.parametrize("version", ["2024.4.1", "2024.10.0", "2023.12"])
def test_packages_that_drop_conditions_are_refused(protocol, package, version, monkeypatch):
    monkeypatch.setattr(services.clouds, "file_system", lambda protocol: lambda **options: object())
    monkeypatch.setattr(services.metadata, "version", lambda name: version)
    with pytest.raises(MissingError, match=rf"needs {package} 2024\.12 or later") as caught:
        Objects(f"{protocol}://box/x")
    assert f"{package} {version} puts a lock" in caught.value.why
    assert f"pip install --upgrade '{package}>=2024.12'" in caught.value.fix
    monkeypatch.setattr(services.metadata, "version", lambda name: "2024.12.0")
    services.open_service(f"{protocol}://box/x")


def test_what_a_killed_process_tried_out_goes_when_it_is_old(monkeypatch):
    store = Store(in_memory(monkeypatch))
    store.prepare()
    for name in ("probes/a", "clocks/b"):
        store.layout.place._objects.write(name, b"")
    assert store.gc().debris == ()
    monkeypatch.setattr(orphans, "GRACE_S", -10.0)
    assert sorted(path.name for path in store.gc().debris) == ["a", "b"]
    assert names(store) == ["store.json"]
