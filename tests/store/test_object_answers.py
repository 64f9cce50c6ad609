"""What services answer in words of their own, and what is not repeated of their addresses."""

import pytest

from reactions.core.errors import UsageError
from reactions.store import objects
from reactions.store.objects import Objects, normal_url


def test_a_condition_that_a_server_refuses_in_its_own_words(address, monkeypatch):
    """s3fs makes FileExistsError of a field that not every server sends."""
    there = Objects(address)
    assert there.create("lock", b"one")
    ask = there._try

    def answer(call):
        try:
            return ask(call)
        except FileExistsError as error:
            words = "At least one of the pre-conditions you specified did not hold"
            raise objects.ObjectError(words, "") from error

    monkeypatch.setattr(there, "_try", answer)
    assert not there.create("lock", b"two")
    assert there.create("lock", b"one")  # an earlier try of ours, whose answer was lost
    assert there.create("other", b"two")


@pytest.mark.parametrize("query", ["?sv=1&sig=SECRET", "?AWSAccessKeyId=a&Signature=SECRET"])
def test_a_key_in_a_query_is_not_repeated(query):
    for protocol in ("s3", "az", "ftp"):
        with pytest.raises(UsageError) as caught:
            normal_url(f"{protocol}://box/x{query}")
        assert "SECRET" not in str(caught.value)
        assert "SECRET" not in str(caught.value.fields)
