"""Who may ask the server."""

import pytest
from served import bench_at, client_of

from reactions.serving.access import COOKIE, POLICY, Access, access_of, is_loopback


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_at(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("192.168.0.7:8765", 421),
        ("", 421),
    ],
)
def test_a_rebound_name_is_refused(bench, host, status):
    for path in ("/", "/api/about", "/assets/page.js"):
        answer = client_of(bench).get(path, headers={"Host": host})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8765"}, 200),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_other_pages_cannot_ask(bench, headers, status):
    client = client_of(bench)
    answer = client.post("/api/search", json={"query": {"text": "a"}}, headers=headers)
    assert answer.status_code == status
    assert client.get("/api/about", headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_of_another_page_can_send_is_refused(bench, kind):
    client = client_of(bench)
    for path in ("/api/search", "/api/uploads?name=a.wav"):
        answer = client.post(
            path, content=b'{"query": {"text": "a"}}', headers={"Content-Type": kind}
        )
        assert answer.status_code == 400


def test_every_answer_has_the_headers(bench):
    client = client_of(bench)
    for path, headers in (("/", {}), ("/nothing", {}), ("/api/about", {"Host": "evil.example"})):
        answer = client.get(path, headers=headers)
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in POLICY


def test_the_page_has_no_script_or_style_of_its_own(bench):
    text = client_of(bench).get("/").text
    assert '<script type="module" src="/assets/page.js"></script>' in text
    assert text.count("<script") == 1
    assert " style=" not in text
    assert "<style" not in text
    assert " onclick=" not in text
    assert "http://" not in text
    assert "https://" not in text


# --- tokens -----------------------------------------------------------------------------


def test_without_a_token_nothing_is_answered(bench):
    client = client_of(bench, Access(token="s3cret"))
    assert client.get("/api/about").status_code == 401
    assert client.get("/").status_code == 401
    assert "Token" in client.get("/").text
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/api/about?token=s3cret").status_code == 401  # only the page takes it so
    headers = {"Authorization": "Bearer wrong"}
    assert client.get("/api/about", headers=headers).status_code == 401
    assert client.get("/assets/page.css").status_code == 200  # of the page that asks for it
    assert client.get("/assets/page.js").status_code == 401


def test_a_token_becomes_a_cookie_and_leaves_the_address(bench):
    client = client_of(bench, Access(token="s3cret"), follow_redirects=False)
    answer = client.get("/?token=s3cret")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=s3cret")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/api/about").status_code == 200
    assert client.get("/").status_code == 200


def test_programs_send_a_token_as_a_header(bench):
    client = client_of(bench, Access(token="s3cret"))
    headers = {"Authorization": "Bearer s3cret"}
    assert client.get("/api/about", headers=headers).status_code == 200


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "reactions.serving.access.hmac.compare_digest", lambda a, b: compared.append((a, b)) or True
    )
    assert Access(token="s3cret").accepts("s3creT")
    assert compared == [(b"s3creT", b"s3cret")]


@pytest.mark.parametrize("token", ["é", "\udc80", ""])
def test_tokens_of_any_signs_are_compared(token):
    assert not Access(token="s3cret").accepts(token)


@pytest.mark.parametrize(
    ("host", "has_token"),
    [
        *((host, False) for host in ("127.0.0.1", "localhost", "::1", "127.0.0.5")),
        *((host, True) for host in ("0.0.0.0", "::", "192.168.0.7", "box.example")),
    ],
)
def test_other_machines_need_a_token(host, has_token):
    access = access_of(host)
    assert bool(access.token) is has_token
    assert is_loopback(host) is not has_token
    assert access_of(host, with_token=True).token
    assert access.token not in repr(access) or not has_token


def test_all_interfaces_are_reached_by_addresses_and_named_hosts():
    access = access_of("0.0.0.0", allowed=["Lab.Example"])
    assert access.knows("192.168.0.7:8765")
    assert access.knows("[fe80::1]:8765")
    assert access.knows("lab.example:443")
    assert not access.knows("evil.example")
    server_access = access_of("192.168.0.7")
    assert server_access.knows("192.168.0.7:1")
    assert not server_access.knows("192.168.0.8:1")
