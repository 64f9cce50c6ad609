"""docs/own-data.md says how parquet files are named: its lab file is run on files that lie so."""

import re
from pathlib import Path

import pytest
from lab_files import load
from media_files import image_bytes
from parquet_media import put_media, struct

TEXT = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
CODES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
[LAB] = [code for code in CODES if "photos/data" in code]


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    label = {"_type": "ClassLabel", "names": ["dog", "rain"]}
    for name, rows in [("train-0", range(3)), ("train-1", range(3, 5)), ("test-0", range(2))]:
        columns = {
            "image": [struct(image_bytes(row)) for row in rows],
            "caption": [f"caption {row}" for row in rows],
            "key": [f"k{row}" for row in rows],
            "label": [row % 2 for row in rows],
        }
        put_media(Path(f"photos/data/{name}.parquet"), columns, {"label": label})


def test_the_lab_file_of_the_page() -> None:
    lab = load(LAB)
    pictures, texts = lab.corpus("image"), lab.corpus("text")
    assert pictures.ids() == [f"train-{int(row > 2)}/k{row}" for row in range(5)]
    assert [item.value for item in texts.items(0, 5)] == [f"caption {row}" for row in range(5)]
    assert lab.benchmark("pets").classes == ("dog", "rain")


def test_the_data_set_of_the_page_is_read() -> None:
    [code] = [code for code in CODES if "streaming" in code]
    place = load(code).corpora["image"].sources[0].dataset
    assert (place.name, place.splits, place.streaming) == ("ORG/NAME", ("train",), True)
    assert len(place.revision) == 40
