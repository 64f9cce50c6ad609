"""Tables of pairs and videos: every row is a pair or counted, whatever is in the file."""

import io
import tempfile
from pathlib import Path

import pytest
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from media_files import image_bytes, put, sound_bytes
from video_files import video_bytes

from reactions.core.errors import MediaError, MolspaceError
from reactions.data.pairs.config import PairPlaces
from reactions.data.pairs.corpora import SourcePairs, open_pairs
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.modalities.videos import clips
from reactions.modalities.videos.choice import ClipChoice

_CELLS = ("0.wav", "1.wav", "0.png", "1.png", "", " ", "..", ".", "/", "/dev/null", "gone.wav")
_ODD_CELLS = ('"', "a,b", "http://x/y.wav", "0.wav\0", "é.wav", "0.png/", "~", "a" * 300)
_CELL = st.sampled_from((*_CELLS, *_ODD_CELLS))
TABLE = b"key,wav,jpg\na,0.wav,0.png\nb,1.wav,1.png\n"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        for i in range(2):
            put(Path(name) / f"{i}.wav", sound_bytes(i))
            put(Path(name) / f"{i}.png", image_bytes(i))
        yield Path(name)


def read(folder: Path, data: bytes, id_column: str) -> SourcePairs | MolspaceError:
    path = put(folder / "pairs.csv", data)
    source = Source(paths=(str(path),), id_column=id_column, max_bad=1.0)
    places = PairPlaces(source, (("audio", "wav"), ("image", "jpg")))
    return usable_or_refused(lambda: open_pairs("own", "pairs.x", places, tables=TableCache()))


def check_all_accounted(pairs: SourcePairs | MolspaceError) -> None:
    """Every row is there on both sides, or is counted with a reason."""
    if isinstance(pairs, MolspaceError):
        return
    sounds, pictures = (pairs.corpus(modality) for modality in ("audio", "image"))
    assert sounds.ids() == pictures.ids()
    assert len(set(sounds.ids())) == len(pairs)
    assert len(pairs) + pairs.skipped.n_bad == pairs.skipped.n_rows
    assert all(item.why for item in sounds.bad())
    for item in (*sounds.items(0, 9), *pictures.items(0, 9)):
        assert item.value.parent == Path(sounds.items(0, 1)[0].value).parent
        assert item.value.is_file()


@fuzz
@given(st.lists(st.tuples(_CELL, _CELL, _CELL), max_size=6), st.sampled_from(["", "key"]))
def test_tables_of_any_cells(folder, rows, id_column):
    lines = ["key,wav,jpg", *(",".join(row) for row in rows)]
    data = "".join(f"{line}\n" for line in lines).encode()
    check_all_accounted(read(folder, data, id_column))


@fuzz
@given(mutated(TABLE, head_bytes=len(TABLE)), st.sampled_from(["", "key"]))
def test_damaged_tables(folder, data, id_column):
    check_all_accounted(read(folder, data, id_column))


def test_the_good_one_is_read(folder):
    assert len(read(folder, TABLE, "key")) == 2


# --- videos ---


@pytest.fixture(scope="module")
def video():
    pytest.importorskip("av")
    return video_bytes(seconds=1, size=(32, 32))


@fuzz
@given(st.data())
def test_damaged_videos_are_clips_or_refused(video, data):
    damaged = data.draw(mutated(video, head_bytes=len(video)))

    def look():
        clip = clips.find_clip(io.BytesIO(damaged), "x.mp4", ClipChoice())
        clips.check_clip(io.BytesIO(damaged), "x.mp4", clip)
        return clip

    outcome = usable_or_refused(look, max_extra_bytes=1 << 30)
    if not isinstance(outcome, MediaError):
        assert outcome.length_us > 0
        assert outcome.start_us <= outcome.picture_us <= outcome.start_us + outcome.length_us
