"""What is left out of items: noted, counted, added up, written and read."""

from __future__ import annotations

import json
import threading

import pytest

from reactions.core import left_out
from reactions.core.left_out import LeftOut, Note, Tally, by_space, gathered, note

CUT = left_out.longer_than("77 tokens")


def test_notes_are_gathered_once_an_item_and_in_their_own_thread():
    note(CUT)  # nobody counts
    others = []

    def elsewhere():
        with gathered() as notes:
            others.append(list(notes))

    with gathered() as notes, by_space("CLIP"):
        note(CUT)
        note(CUT)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert notes == [Note("CLIP", CUT)]
    assert others == [[]]


def test_what_was_looked_for_in_vain_is_counted_as_0_and_what_was_not_looked_for_is_not():
    tally = Tally()
    tally.add("text", {"CLIP": (CUT,), "Own": None}, [(), ()])
    assert tally.of("CLIP", "text", 2) == LeftOut("CLIP", "text", 2, {CUT: 0})
    assert tally.of("Own", "text", 2) == LeftOut("Own", "text", 0, {}, 2)
    tally.add("text", {"CLIP": (CUT,), "Own": None}, [(Note("CLIP", CUT),), ()])
    assert tally.of("CLIP", "text", 4) == LeftOut("CLIP", "text", 4, {CUT: 1})


def test_parts_of_earlier_versions_stay_uncounted():
    new = LeftOut("CLIP", "text", 2048, {CUT: 31})
    assert left_out.joined_counts([(None, 10)]) is None
    assert left_out.joined_counts([(new, 2048), (None, 10)]) == LeftOut(
        "CLIP", "text", 2048, {CUT: 31}, 10
    )
    # Made while the space had another name.
    renamed = LeftOut("CLIP2", "text", 1, {CUT: 1})
    assert left_out.joined_counts([(new, 2048), (renamed, 1)]) == LeftOut(
        "CLIP", "text", 2049, {CUT: 32}
    )


def test_counts_are_written_and_read():
    counts = LeftOut("CLIP", "text", 2048, {CUT: 31}, 10)
    assert left_out.parse(json.loads(json.dumps(counts.to_json()))) == counts
    assert left_out.parse(None) is None
    assert counts.in_words()["found"][0]["are"].startswith("longer than CLIP's 77 tokens")
    with pytest.raises((TypeError, LookupError)):
        left_out.parse({"space": "CLIP", "modality": "text", "items": "2", "found": []})


def test_a_result_counts_once_and_all_is_forgotten_once_reported():
    left_out.take()
    counts = LeftOut("CLIP", "text", 4, {CUT: 1})
    left_out.report([counts], "key")
    left_out.report([counts], "key")
    left_out.report([counts])
    left_out.report([counts])
    assert left_out.waiting() == [LeftOut("CLIP", "text", 12, {CUT: 3})]
    assert left_out.take() == [LeftOut("CLIP", "text", 12, {CUT: 3})]
    assert left_out.take() == []
