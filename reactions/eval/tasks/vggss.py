"""VGG-SS: clips of VGGSound with an annotated frame each."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet, paired
from reactions.eval.task import FREEBIND, PAIRS, Task
from reactions.eval.task_data import RetrievalData


def read(published: PublishedSet) -> RetrievalData:
    """Return the clips whose sound and frame are there.

    Files may be named as in the JSON (``YTID_000030``: id and second) or as in VGGSound
    (``YTID_30000_40000``: id, first and last millisecond).

    Raises:
        MissingError: no clip is there.
        DataError: the JSON is damaged, or no clip can be decoded.
    """
    record = published.read_json(published.labels)
    items: dict[str, tuple[str, ...]] = {}
    try:
        for entry in record:
            name: str = entry["file"]
            video, _, second = name.rpartition("_")
            start_ms = int(second) * 1000
            # All clips of VGGSound last ten seconds.
            items[name] = (name, f"{video}_{start_ms}_{start_ms + 10_000}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise published.damaged(
            published.labels, f"it is not laid out as published ({error})"
        ) from None
    if not items:
        raise published.damaged(published.labels, "it lists no clips")
    return paired(published, items)


SET = EvaluationSet(
    Task(
        name="vggss",
        title="VGG-SS",
        kind="retrieval",
        query="audio",
        other="image",
        expected=5158,
        protocol=PAIRS,
        licence="not verified",
        citation="Chen et al. 2021",
        source="github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way (metadata/vggss.json; "
        "clips come from YouTube)",
        aliases=("vgg-ss", "vgg"),
        paper_items=5158,
        groups=(FREEBIND,),
        rank=5,
    ),
    Layout(
        folders=("vggss", "VGGSS", "VGG-SS", "vgg-ss"),
        labels=("vggss.json", "metadata/vggss.json"),
        media=(("audio", ("audio", "")), ("image", ("frames", "images", ""))),
        tree="vggss/vggss.json, vggss/audio/YTID_000030.wav and vggss/frames/YTID_000030.jpg, ...",
    ),
    read=read,
)
