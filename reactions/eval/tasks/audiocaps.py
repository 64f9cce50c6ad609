"""AudioCaps' test split: clips of AudioSet with five captions each."""

from __future__ import annotations

from reactions.eval.task_data import RetrievalData
from reactions.eval.tasks.published import (
    Captioned,
    Layout,
    PublishedSet,
    captioned,
    captions_in,
)

LAYOUT = Layout(
    task="audiocaps",
    title="AudioCaps",
    expected=964,  # what the paper found of the 975 clips that were published
    folders=("audiocaps", "AudioCaps"),
    labels=("test.csv", "dataset/test.csv", "csv/test.csv", "audiocaps_test.csv"),
    media=(("audio", ("test", "audio/test", "audio", "")),),
    origin="github.com/cdjkim/audiocaps (captions; clips come from YouTube)",
    tree="audiocaps/test.csv (audiocap_id, youtube_id, start_time, caption) and "
    "audiocaps/audio/YOUTUBE_ID.wav (or YYOUTUBE_ID.wav, AUDIOCAP_ID.wav), ...",
)


def items_of(published: PublishedSet) -> list[Captioned]:
    """Return the clips, whether they are there or not.

    Raises:
        DataError: the csv is damaged.
    """
    needed = ("audiocap_id", "youtube_id", "start_time", "caption")
    clips: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in published.read_csv(published.labels, needed):
        clips.setdefault((row["youtube_id"], row["start_time"]), []).append(row)
    return [
        Captioned(
            id=f"{video}_{start}",
            names=(f"{video}_{start}", video, *(row["audiocap_id"] for row in rows)),
            captions=captions_in(published, video, (row["caption"] for row in rows)),
            video=video,
        )
        for (video, start), rows in clips.items()
    ]


def read(published: PublishedSet) -> RetrievalData:
    """Return the clips that are there, with all their captions.

    Raises:
        MissingError: no clip is there.
        DataError: the csv is damaged, or no clip can be decoded.
    """
    return captioned(published, "audio", items_of(published))
