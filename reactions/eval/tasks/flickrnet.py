"""FlickrNet: the 5,000 annotated pairs of Flickr-SoundNet."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet, paired
from reactions.eval.task import FREEBIND, PAIRS, Task
from reactions.eval.task_data import RetrievalData


def read(published: PublishedSet) -> RetrievalData:
    """Return the pairs whose sound and image are there.

    Raises:
        MissingError: no pair is there.
        DataError: the list is damaged, or no pair can be decoded.
    """
    if published.labels.is_dir():
        ids = sorted(path.stem for path in published.labels.glob("*.xml"))
    else:
        fields = (line.split(",")[0] for line in published.read_lines(published.labels))
        ids = [field.strip().removesuffix(".mp4") for field in fields]
    if not ids:
        raise published.damaged(published.labels, "it lists no pairs")
    return paired(published, {id: (id, f"{id}.mp4") for id in ids})


SET = EvaluationSet(
    Task(
        name="flickrnet",
        title="FlickrNet",
        kind="retrieval",
        query="audio",
        other="image",
        expected=5000,
        protocol=PAIRS,
        licence="not verified",
        citation="Senocak et al. 2018",
        source="github.com/ardasnck/learning_to_localize_sound_source (pairs and annotations)",
        aliases=("flickr-soundnet", "fnet"),
        paper_items=5000,
        groups=(FREEBIND,),
        rank=6,
    ),
    Layout(
        folders=("flickrnet", "FlickrNet", "Flickr-SoundNet", "flickr_soundnet", "Flickr"),
        labels=(
            "flickrnet.txt",
            "flickrnet.csv",
            "Annotations",
            "test_list.txt",
            "flickr_test.csv",
            "metadata/flickr_test.csv",
        ),
        media=(("audio", ("audio", "Data", "")), ("image", ("frames", "images", "Data", ""))),
        tree="flickrnet/Annotations/ID.xml for every pair (or flickrnet/flickrnet.txt, one id a "
        "line), with flickrnet/Data/ID/ID.wav and ID.jpg, or flickrnet/audio/ID.wav and "
        "flickrnet/frames/ID.jpg",
    ),
    read=read,
)
