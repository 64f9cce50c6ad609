"""Addresses that name an account of Azure's: it is the one that is read, or they are refused."""

from types import SimpleNamespace

import pytest

from reactions.core import clouds, remote
from reactions.core.errors import UsageError

URL = "abfs://data@mine.dfs.core.windows.net/a.png"


class Azure:
    """What adlfs opens: of the account that it is given, if the environment names none."""

    from_environment = ""

    def __init__(self, account_name=""):
        name = self.from_environment or account_name
        self.service_client = SimpleNamespace(account_name=name)

    def _strip_protocol(self, url):
        return url.partition("://")[2]


@pytest.fixture(autouse=True)
def azure(monkeypatch):
    class Mine(Azure):
        pass

    monkeypatch.setattr(remote, "file_system", lambda protocol: Mine)
    remote._filesystem.cache_clear()
    yield Mine
    remote._filesystem.cache_clear()


def test_the_account_of_an_address_is_opened():
    fs, _ = remote._open(URL)
    assert fs.service_client.account_name == "mine"
    fs, _ = remote._open(URL.replace("mine", "other"))
    assert fs.service_client.account_name == "other"


@pytest.mark.parametrize("caches", ["", "simplecache::", "filecache::simplecache::"])
def test_that_of_the_environment_is_not_read_in_its_place(caches, azure, monkeypatch):
    def opened(url):
        fs = azure()
        for _ in range(url.count("::")):
            fs = SimpleNamespace(fs=fs)
        return fs, "data/a.png"

    monkeypatch.setattr("fsspec.core.url_to_fs", opened)
    azure.from_environment = "other"
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        remote._open(caches + URL)
    assert "the environment's is 'other'" in caught.value.why
    azure.from_environment = "mine"
    remote._filesystem.cache_clear()
    assert remote._open(caches + URL)[1].endswith("a.png")


def test_a_page_of_azures_by_http_has_no_account():
    clouds.check_account("https://mine.blob.core.windows.net/data/a.png", object())
