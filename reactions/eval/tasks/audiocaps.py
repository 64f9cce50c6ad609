"""AudioCaps' test split: clips of AudioSet with five captions each."""

from __future__ import annotations

from reactions.eval.published import (
    Captioned,
    EvaluationSet,
    Layout,
    PublishedSet,
    captions_in,
)
from reactions.eval.task import CAPTIONS, FREEBIND, Task


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


SET = EvaluationSet(
    Task(
        name="audiocaps",
        title="AudioCaps",
        kind="retrieval",
        query="audio",
        other="text",
        expected=964,  # what the paper found of the 975 clips that were published
        protocol=CAPTIONS.format(m="audio"),
        licence="MIT (captions)",
        citation="Kim et al. 2019",
        source="github.com/cdjkim/audiocaps (captions; clips come from YouTube)",
        aliases=("acaps",),
        paper_items=964,
        groups=(FREEBIND,),
        rank=3,
    ),
    Layout(
        folders=("audiocaps", "AudioCaps"),
        labels=("test.csv", "dataset/test.csv", "csv/test.csv", "audiocaps_test.csv"),
        media=(("audio", ("test", "audio/test", "audio", "")),),
        tree="audiocaps/test.csv (audiocap_id, youtube_id, start_time, caption) and "
        "audiocaps/audio/YOUTUBE_ID.wav (or YYOUTUBE_ID.wav, AUDIOCAP_ID.wav), ...",
    ),
    items=items_of,
)
