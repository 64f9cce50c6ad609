"""Tiny evaluation sets of UniBind in their published layouts, of real encoded files."""

import io
import json
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
from media_files import image_bytes, put, sound_bytes
from PIL import Image


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


# --- media ---


def grey_bytes(seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A grey JPEG, as thermal pictures are published."""
    pixels = np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def cloud_text(seed: int = 0, columns: int = 6, delimiter: str = ",", n: int = 40) -> str:
    """Points as lines of numbers: x, y, z, a normal, and a label of the part if asked for."""
    rows = np.random.default_rng(seed).uniform(-1, 1, (n, columns))
    return lines(*(delimiter.join(f"{value:.6f}" for value in row) for row in rows))


def mesh_text(seed: int = 0) -> str:
    """A tetrahedron in OFF."""
    corners = np.random.default_rng(seed).uniform(-1, 1, (4, 3))
    faces = ("3 0 1 2", "3 0 1 3", "3 0 2 3", "3 1 2 3")
    return lines("OFF", "4 4 0", *(" ".join(map(str, row)) for row in corners), *faces)


def recording_bytes(seed: int = 0, n: int = 60) -> bytes:
    """Events as N-Caltech101 has them: x, y, then one bit of polarity and 23 of microseconds."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 300_000, n))
    out = b""
    for t in times.tolist():
        x, y, p = (int(rng.integers(limit)) for limit in (240, 180, 2))
        out += struct.pack(">BB", x, y) + (p << 23 | t).to_bytes(3, "big")
    return out


def est_bytes(seed: int = 0, n: int = 60) -> bytes:
    """Events as EST's copy has them: float rows of x, y, seconds, and -1 or 1."""
    rng = np.random.default_rng(seed)
    rows = np.stack(
        [
            *(rng.integers(limit, size=n).astype(np.float32) for limit in (240, 180)),
            np.sort(rng.uniform(0, 0.3, n)),
            rng.choice([-1.0, 1.0], n),
        ],
        axis=1,
    )
    stream = io.BytesIO()
    np.save(stream, rows.astype(np.float32))
    return stream.getvalue()


def nimagenet_bytes(seed: int = 0, n: int = 60) -> bytes:
    """Events as N-ImageNet has them: a structured array in an npz."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "?")])
    rows["x"], rows["y"] = rng.integers(640, size=n), rng.integers(480, size=n)
    rows["t"], rows["p"] = np.sort(rng.integers(0, 60_000, n)), rng.integers(2, size=n)
    stream = io.BytesIO()
    np.savez_compressed(stream, event_data=rows)
    return stream.getvalue()


@lru_cache(maxsize=16)
def clip_bytes(seed: int = 0, form: str = "avi") -> bytes:
    from video_files import video_bytes

    codec = "mpeg4" if form == "avi" else "libx264"
    return video_bytes(1, form, codec, "", size=(32, 24), seed=seed)


# --- pictures ---


def places365(root: Path) -> Path:
    names = ("/a/airfield 0", "/a/arena/hockey 1", "/b/bowling_alley 2")
    put(root / "categories_places365.txt", lines(*names))
    listed = [f"Places365_val_0000000{i}.jpg {label}" for i, label in ((1, 2), (2, 0), (3, 1))]
    put(root / "places365_val.txt", lines(*listed))
    trained = ("/a/airfield/00000001.jpg 0", "/a/arena/hockey/00000001.jpg 1")
    put(root / "places365_train_standard.txt", lines(*trained))
    for i in (1, 2, 3):
        put(root / f"val_256/Places365_val_0000000{i}.jpg", image_bytes(i, "JPEG"))
    for i, line in enumerate(trained):
        put(root / f"data_256_standard/{line.split(' ')[0]}", image_bytes(9 + i, "JPEG"))
    return root


CALTECH = ("BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "airplanes", "sea_horse")


def caltech101(root: Path, n: int = 12) -> Path:
    for c, folder in enumerate(CALTECH):
        for i in range(1, n + 1):
            path = root / f"101_ObjectCategories/{folder}/image_{i:04d}.jpg"
            put(path, image_bytes(100 * c + i, "JPEG"))
    return root


# --- points ---

SHAPES = ("airplane", "night_stand", "tv_stand")


def modelnet40(root: Path) -> Path:
    put(root / "modelnet40_shape_names.txt", lines(*SHAPES))
    put(root / "modelnet40_train.txt", lines(*(f"{name}_0001" for name in SHAPES)))
    put(root / "modelnet40_test.txt", lines(*(f"{name}_0002" for name in SHAPES)))
    for i, name in enumerate(SHAPES):
        for number in (1, 2):
            put(root / f"{name}/{name}_000{number}.txt", cloud_text(10 * i + number))
    return root


def modelnet40_meshes(root: Path) -> Path:
    for i, name in enumerate(SHAPES):
        put(root / f"{name}/train/{name}_0001.off", mesh_text(i))
        put(root / f"{name}/test/{name}_0002.off", mesh_text(10 + i))
    return root


def shapenet(root: Path) -> Path:
    put(root / "synsetoffset2category.txt", lines("Airplane\t02691156", "Bag\t02773838"))
    for split, ids in (("test", ("aa1", "bb2")), ("train", ("aa3",)), ("val", ("bb4",))):
        listed = [f"shape_data/{'02691156' if id[0] == 'a' else '02773838'}/{id}" for id in ids]
        put(root / f"train_test_split/shuffled_{split}_file_list.json", json.dumps(listed))
        for path in listed:
            text = cloud_text(len(path) + ord(path[-1]), 7, " ")
            put(root / f"{path.removeprefix('shape_data/')}.txt", text)
    return root


# --- sounds ---


def urbansound8k(root: Path) -> Path:
    clips = [
        ("100032-3-0-0.wav", 5, 3, "dog_bark"),
        ("100263-2-0-117.wav", 5, 2, "children_playing"),
        ("100648-1-0-0.wav", 10, 1, "car_horn"),
        ("101415-3-0-2.wav", 1, 3, "dog_bark"),
    ]
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    rows = [f"{name},1,0.0,4.0,1,{fold},{id},{label}" for name, fold, id, label in clips]
    put(root / "metadata/UrbanSound8K.csv", lines(header, *rows))
    for seed, (name, fold, *_) in enumerate(clips):
        put(root / f"audio/fold{fold}/{name}", sound_bytes(seed))
    return root


# --- thermal pictures ---


def voc(boxes: list[tuple[int, int, int, int]], name: str = "person") -> str:
    objects = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><bndbox><xmin>{a}</xmin><ymin>{b}"
        f"</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    return f'<?xml version="1.0"?><annotation>{size}{objects}</annotation>'


BOXES = {"190001": [(2, 3, 12, 23), (30, 5, 40, 30)], "190002": [(50, 20, 70, 44)], "190003": []}


def llvip(root: Path) -> Path:
    for seed, (id, boxes) in enumerate(BOXES.items()):
        put(root / f"Annotations/{id}.xml", voc(boxes))
        put(root / f"infrared/test/{id}.jpg", grey_bytes(seed))
        put(root / f"visible/test/{id}.jpg", image_bytes(seed, "JPEG", (64, 48)))
    put(root / "Annotations/010001.xml", voc([(1, 1, 9, 21)]))
    put(root / "infrared/train/010001.jpg", grey_bytes(9))
    return root


def llvip_ready(root: Path) -> Path:
    for seed, split in enumerate(("train", "val")):
        for i, name in enumerate(("person", "background")):
            for number in range(2):
                path = root / f"{split}/{name}/{number}.jpg"
                put(path, grey_bytes(4 * seed + 2 * i + number))
    return root


def kaist(*marks: str) -> str:
    return lines("% bbGt version=3", *marks)


def rgbt(root: Path) -> Path:
    frames = {
        "set00/V000/I00001": kaist("person 5 5 20 55 0 0 0 0 0 0 0"),
        "set06/V000/I00019": kaist(
            "person 5 5 20 55 0 0 0 0 0 0 0",
            "person 40 5 20 55 1 0 0 0 0 0 0",  # hidden
            "person 70 5 10 20 0 0 0 0 0 0 0",  # small
            "people 90 5 30 60 0 0 0 0 0 0 0",
        ),
        "set06/V001/I00039": kaist(),
        "set11/V001/I00039": kaist("person 100 20 22 70 0 0 0 0 0 0 0"),
    }
    for seed, (frame, text) in enumerate(frames.items()):
        folder, _, name = frame.rpartition("/")
        put(root / f"annotations/{frame}.txt", text)
        put(root / f"{folder}/lwir/{name}.jpg", grey_bytes(seed, (160, 120)))
        put(root / f"{folder}/visible/{name}.jpg", image_bytes(seed, "JPEG", (160, 120)))
    return root


# --- videos ---


def msrvtt(root: Path) -> Path:
    put(root / "category.txt", lines("music\t0", "sports/actions\t1", "news/events/politics\t2"))
    video = {
        f"video{number}": {
            "video_id": f"video{number}",
            "category": category,
            "split": split,
            "url": "https://example.org",
        }
        for number, (category, split) in {
            0: (1, "train"),
            6513: (0, "validate"),
            7010: (2, "test"),
            7011: (0, "test"),
        }.items()
    }
    first, second = ("video0", "video6513"), ("video7010", "video7011")
    put(root / "train_val_videodatainfo.json", json.dumps({"videos": [video[v] for v in first]}))
    put(root / "test_videodatainfo.json", json.dumps({"videos": [video[v] for v in second]}))
    for name, folder in [(v, "TrainValVideo") for v in first] + [(v, "TestVideo") for v in second]:
        put(root / f"{folder}/{name}.mp4", clip_bytes(int(name[5:]) % 4, "mp4"))
    return root


UCF = ("ApplyEyeMakeup", "HandstandPushups", "YoYo")


def ucf101(root: Path) -> Path:
    lists = root / "ucfTrainTestlist"
    put(lists / "classInd.txt", lines(*(f"{i} {name}" for i, name in enumerate(UCF, 1))))
    # The set writes one class in two ways.
    stems = [f"{c}/v_{c.replace('Handstand', 'HandStand')}" for c in UCF]
    for n in (1, 2, 3):
        tested = [f"{stem}_g0{n}_c01.avi" for stem in stems]
        trained = [f"{stem}_g0{k}_c01.avi" for k in (1, 2, 3, 8) if k != n for stem in stems]
        put(lists / f"testlist0{n}.txt", lines(*tested))
        labels = [UCF.index(path.partition("/")[0]) + 1 for path in trained]
        rows = [f"{path} {label}" for path, label in zip(trained, labels, strict=True)]
        put(lists / f"trainlist0{n}.txt", lines(*rows))
    for i, stem in enumerate(stems):
        for k in (1, 2, 3, 8):
            put(root / f"UCF-101/{stem}_g0{k}_c01.avi", clip_bytes((i + k) % 4))
    return root


# --- events ---


def ncaltech101(root: Path, n: int = 12) -> Path:
    for c, folder in enumerate(CALTECH):
        if folder == "Faces":  # published without it
            continue
        for i in range(1, n + 1):
            path = root / f"Caltech101/{folder}/image_{i:04d}.bin"
            put(path, recording_bytes(100 * c + i))
    return root


def ncaltech101_est(root: Path) -> Path:
    for k, split in enumerate(("training", "validation", "testing")):
        for c, folder in enumerate(("Faces_easy", "accordion")):
            for i in (1, 2):
                path = root / f"{split}/{folder}/{folder}_{10 * k + i}.npy"
                put(path, est_bytes(100 * c + 10 * k + i))
    return root


def ncaltech101_images(root: Path) -> Path:
    return caltech101(ncaltech101(root))


def eventbind_lists(root: Path) -> Path:
    """The lists of EventBind: a recording and its picture in a line."""
    for part, numbers in (("train", (1, 2)), ("val", (3, 4, 5))):
        rows = [
            f"/data/N-Caltech101/Caltech101/{c}/image_{i:04d}.bin\t"
            f"/data/caltech-101/101_ObjectCategories/{c}/image_{i:04d}.jpg"
            for c in ("accordion", "airplanes")
            for i in numbers
        ]
        put(root / f"Caltech101_{part}.txt", lines(*rows))
    return root


WNIDS = ("n01440764", "n02012849", "n03126707")


def nimagenet(root: Path) -> Path:
    names = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane"]
    put(root / "LOC_synset_mapping.txt", lines(*names))
    for split, n in (("val", 2), ("train", 1)):
        paths = [
            f"{wnid}/ILSVRC2012_{split}_{n * c + i + 1:08d}.npz"
            for c, wnid in enumerate(WNIDS)
            for i in range(n)
        ]
        put(root / f"{split}_list.txt", lines(*(f"/x/extracted_{split}/{p}" for p in paths)))
        for seed, path in enumerate(paths):
            put(root / f"extracted_{split}/{path}", nimagenet_bytes(seed))
    return root


ALL = {
    "places365": places365,
    "caltech101": caltech101,
    "modelnet40": modelnet40,
    "shapenet": shapenet,
    "urbansound8k": urbansound8k,
    "llvip": llvip_ready,
    "rgbt": rgbt,
    "msrvtt": msrvtt,
    "ucf101": ucf101,
    "ncaltech101": ncaltech101,
    "nimagenet": nimagenet,
    "ncaltech101_images": ncaltech101_images,
}
