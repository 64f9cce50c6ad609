"""Files that were dropped: what they are is decided by decoding them."""

import numpy as np
import pytest
from further_media import bin_bytes
from media_files import image_bytes, sound_bytes
from served import bench_at, client_of, send_file

from reactions.core.errors import MediaError
from reactions.serving.limits import NotThere, ServingLimits
from reactions.serving.uploads import Uploads, decodable


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_at(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def client(bench):
    return client_of(bench)


@pytest.mark.parametrize("name", ["a.png", "a.wav", "a.txt", "a", "../../etc/passwd"])
def test_the_name_decides_nothing_that_contents_decide(client, name):
    upload = send_file(client, image_bytes(), name).json()
    assert upload["modality"] == "image"
    assert "/" not in upload["name"]
    upload = send_file(client, sound_bytes(), name).json()
    assert upload["modality"] == "audio"


def test_what_cannot_be_decoded_says_why_and_what_to_do(client):
    answer = send_file(client, b"not a picture", "cat.png")
    assert answer.status_code == 422
    error = answer.json()
    assert error["error"] == "MediaError"
    assert error["what"] == "'cat.png' cannot be decoded as image"
    assert error["why"]
    assert error["fix"]
    answer = send_file(client, image_bytes()[:60], "cut.png")
    assert (answer.status_code, answer.json()["error"]) == (422, "MediaError")
    assert "HEIF" in send_file(client, b"??", "cat.heic").json()["why"]
    assert "is empty" in send_file(client, b"", "cat.png").json()["what"]
    error = send_file(client, b"hello", "notes.md").json()
    assert "none of image, audio" in error["why"]


def test_a_modality_that_is_given_is_checked(client):
    answer = send_file(client, image_bytes(), "a.png", modality="audio")
    assert answer.status_code == 422
    assert answer.json()["what"] == "'a.png' cannot be decoded as audio"
    answer = send_file(client, image_bytes(), "a.png", modality="imgae")
    assert (answer.status_code, "image" in answer.json()["fix"]) == (400, True)


def test_a_picture_may_be_taken_as_something_else():
    uploads = Uploads(decodable(["image", "thermal", "audio"]))
    grey = np.full((9, 9, 3), 90, np.uint8)
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    upload = uploads.add(stream.getvalue(), "hand.png")
    assert (upload.modality, upload.others) == ("image", ("thermal",))
    as_thermal = uploads.add(stream.getvalue(), "hand.png", "thermal")
    assert (as_thermal.modality, as_thermal.others) == ("thermal", ())
    assert as_thermal.key != upload.key


def test_events_without_a_mark_go_by_their_name():
    uploads = Uploads(decodable(["image", "event"]))
    assert uploads.add(bin_bytes(), "scene.bin").modality == "event"
    for content, name in ((bytes(5000), "scene.bin"), (bin_bytes(), "scene.jpg")):
        with pytest.raises(MediaError):
            uploads.add(content, name)
    with pytest.raises(MediaError, match="decoded as event") as caught:
        uploads.add(bin_bytes(), "scene.wav", "event")
    assert "rename it" in caught.value.fix


def test_too_large_files_are_refused_while_they_come(tmp_path):
    client = client_of(bench_at(tmp_path, upload_bytes=1 << 16))
    answer = send_file(client, b"x" * (1 << 17), "a.wav")
    assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge")

    chunks_sent = []

    def chunks():
        for i in range(64):
            chunks_sent.append(i)
            yield b"x" * 4096

    assert send_file(client, chunks(), "a.wav").status_code == 413


def test_the_oldest_file_goes(tmp_path):
    uploads = Uploads(["image"], ServingLimits(uploads=2))
    first, second = (uploads.add(image_bytes(i), f"{i}.png") for i in range(2))
    uploads.get(first.key)
    uploads.add(image_bytes(2), "2.png")
    assert uploads.get(first.key) == first
    with pytest.raises(NotThere, match="no longer held"):
        uploads.get(second.key)


def test_all_files_together_are_bounded():
    content = image_bytes(0, "BMP", (100, 100))
    uploads = Uploads(["image"], ServingLimits(held_bytes=6 * len(content)))
    keys = [uploads.add(image_bytes(i, "BMP", (100, 100)), "a.bmp").key for i in range(5)]
    assert uploads.get(keys[-1])
    assert uploads.get(keys[-2])
    with pytest.raises(NotThere, match="no longer held"):
        uploads.get(keys[1])


def test_a_bomb_is_refused():
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(MediaError, match="cannot be decoded as image"):
        Uploads(["image"]).add(png, "bomb.png")


def test_names_are_shortened_and_cannot_forge(client):
    upload = send_file(client, image_bytes(), "a" * 5000 + ".png").json()
    assert len(upload["name"]) <= 200
    upload = send_file(client, image_bytes(), "x\u202egnp.exe\n.png").json()
    assert "\u202e" not in upload["name"]
    assert "\n" not in upload["name"]
