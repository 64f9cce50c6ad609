"""Addresses in lab files: plain protocols, no passwords, no options for what opens them."""

import pytest
from lab_files import refused

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(
    "url", ["reference::file://refs.json", "zip://a::https://example.org/a.zip", "ftp://host/a"]
)
@pytest.mark.parametrize("form", ['path = "{}"', 'path = ["a.txt", "{}"]'])
def test_other_protocols_are_refused_when_the_file_is_read(url, form):
    text = f"[corpora.text]\n{form.format(url)}\n"
    refused(text, "corpora.text.path: cannot read")
    refused(text.replace("[corpora.text]", "[[corpora.text]]"), r"corpora.text\[0\].path: cannot")


def test_passwords_are_refused_unrepeated():
    text = '[corpora.text]\npath = "https://me:secret@example.org/a.txt"\n'
    error = refused(text, "corpora.text.path: cannot read")
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "key",
    ["storage_options", "endpoint_url", "endpoint", "token", "client_kwargs", "key", "secret"],
)
@pytest.mark.parametrize("value", ['"x"', '{ endpoint_url = "https://example.org" }'])
def test_no_option_reaches_the_file_system_of_an_address(key, value):
    refused(
        f'[corpora.text]\npath = "s3://bucket/a.txt"\n{key} = {value}\n', f"unknown key .*{key}"
    )
    refused(f'[spaces.X]\nuri = "hf:org/name"\n{key} = {value}\n', f"unknown key .*{key}")
    refused(f'[spaces.X]\npath = "x"\n{key} = {value}\n', f"unknown key .*{key}")
    refused(f"[data.esc50]\npath = 'x'\n{key} = {value}\n", f"unknown key .*{key}")
    refused(f"[lab]\n{key} = {value}\n", f"unknown key .*{key}")
