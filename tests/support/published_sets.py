"""Tiny evaluation sets in their published layouts, of real encoded files."""

import json
from pathlib import Path

import unibind_sets
from media_files import image_bytes, put, sound_bytes


def esc50(root: Path) -> Path:
    rows = [
        "filename,fold,target,category,esc10,src_file,take",
        "1-100032-A-0.wav,1,0,dog,True,100032,A",
        "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A",
        "2-100210-A-36.wav,2,36,vacuum_cleaner,False,100210,A",
        "5-9032-A-0.wav,5,0,dog,True,9032,A",
    ]
    put(root / "meta/esc50.csv", "\n".join(rows) + "\n")
    for seed, row in enumerate(rows[1:]):
        put(root / "audio" / row.split(",")[0], sound_bytes(seed))
    return root


def audioset(root: Path, name="{id}.wav") -> Path:
    segments = [
        "# Segments csv created Sun Mar  5 10:56:58 2017",
        "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4",
        "# YTID, start_seconds, end_seconds, positive_labels",
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"',
        '--BfvyPmVMo, 20.000, 30.000, "/m/03l9g"',
        'Yabcdefghi-, 0.000, 10.000, "/m/068hy"',
    ]
    put(root / "eval_segments.csv", "\n".join(segments) + "\n")
    labels = [
        "index,mid,display_name",
        "3,/m/03l9g,Hammer",
        "0,/m/09x0r,Speech",
        '1,/m/068hy,"Domestic animals, pets"',
        "2,/m/07q6cd_,Squeak",
    ]
    put(root / "class_labels_indices.csv", "\n".join(labels) + "\n")
    for seed, id in enumerate(("--4gqARaEJE", "--BfvyPmVMo", "Yabcdefghi-")):
        put(root / "audio" / name.format(id=id), sound_bytes(seed))
    return root


AUDIOCAPS = {
    ("103549", "7fmOlUlwoNg", "20"): "Constant rattling noise and sharp vibrations",
    ("103548", "7fmOlUlwoNg", "20"): "A rattling noise is followed by a sharp one",
    ("103541", "6BJ455B1aAs", "0"): 'A rocket flies by, "loudly"',
    ("103550", "6BJ455B1aAs", "0"): "An explosion",
}


def audiocaps(root: Path, name="{id}.wav") -> Path:
    rows = ["audiocap_id,youtube_id,start_time,caption"]
    for (id, video, start), caption in AUDIOCAPS.items():
        quoted = caption.replace('"', '""')
        rows.append(f'{id},{video},{start},"{quoted}"')
    put(root / "test.csv", "\n".join(rows) + "\n")
    for seed, video in enumerate(("7fmOlUlwoNg", "6BJ455B1aAs")):
        put(
            root / "audio" / name.format(id=video),
            sound_bytes(seed, "FLAC" if "flac" in name else "WAV"),
        )
    return root


def clotho(root: Path) -> Path:
    rows = ["file_name,caption_1,caption_2,caption_3,caption_4,caption_5"]
    for name in ("Santa Motor.wav", "Radio Garble: take 2.wav"):
        rows.append(name + "," + ",".join(f"{name[:5]} caption {i}" for i in range(1, 6)))
    put(root / "clotho_captions_evaluation.csv", "\n".join(rows) + "\n")
    put(root / "evaluation/Santa Motor.wav", sound_bytes(0))
    put(root / "evaluation/Radio Garble_ take 2.wav", sound_bytes(1))
    return root


VGGSS = ("zpWuikVorYg_000032", "Cqb1zyyTiHw_000000", "Cqb1zyyTiHw_000011")


def vggss(root: Path) -> Path:
    record = [{"file": name, "class": "elk bugling", "bbox": [[0, 0, 1, 1]]} for name in VGGSS]
    put(root / "vggss.json", json.dumps(record))
    for seed, name in enumerate(VGGSS):
        put(root / "audio" / f"{name}.wav", sound_bytes(seed))
        put(root / "frames" / f"{name}.jpg", image_bytes(seed, "JPEG"))
    return root


def flickrnet(root: Path) -> Path:
    for seed, id in enumerate(("10000130166", "10003010123", "3303180123")):
        put(root / "Annotations" / f"{id}.xml", "<annotation/>")
        put(root / "Data" / id / f"{id}.wav", sound_bytes(seed))
        put(root / "Data" / id / f"{id}.jpg", image_bytes(seed, "JPEG"))
    return root


def karpathy(root: Path, name: str, images: dict[str, tuple[str, int]], folder: str) -> Path:
    """Images by file name, with split and number of captions."""
    record = {
        "dataset": name,
        "images": [
            {
                "filename": filename,
                "filepath": "val2014",
                "imgid": number,
                "split": split,
                "sentences": [
                    {"raw": f"{filename} caption {i} ", "tokens": [], "sentid": i} for i in range(n)
                ],
            }
            for number, (filename, (split, n)) in enumerate(images.items())
        ],
    }
    put(root / f"dataset_{name}.json", json.dumps(record))
    for seed, filename in enumerate(images):
        put(root / folder / filename, image_bytes(seed, "JPEG"))
    return root


def coco(root: Path) -> Path:
    images = {
        "COCO_val2014_000000391895.jpg": ("test", 5),
        "COCO_val2014_000000060623.jpg": ("restval", 5),
        "COCO_val2014_000000483108.jpg": ("test", 6),
    }
    return karpathy(root, "coco", images, "val2014")


def flickr30k(root: Path) -> Path:
    images = {
        "1007129816.jpg": ("test", 5),
        "1000092795.jpg": ("train", 5),
        "1009434119.jpg": ("test", 5),
    }
    return karpathy(root, "flickr30k", images, "flickr30k-images")


WNIDS = ("n01440764", "n02012849", "n03126707")


def imagenet(root: Path) -> Path:
    names = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane"]
    put(root / "LOC_synset_mapping.txt", "\n".join(names) + "\n")
    for number, wnid in enumerate((*WNIDS, WNIDS[0]), start=1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        put(root / "val" / wnid / name, image_bytes(number, "JPEG"))
    return root


ALL = {
    "esc50": esc50,
    "audioset": audioset,
    "audiocaps": audiocaps,
    "clotho": clotho,
    "vggss": vggss,
    "flickrnet": flickrnet,
    "coco": coco,
    "flickr30k": flickr30k,
    "imagenet": imagenet,
    **unibind_sets.ALL,
}
