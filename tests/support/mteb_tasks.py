"""Tasks of mteb whose data are in memory: what the mini lab's evaluation sets hold."""

from datasets import Dataset, DatasetDict, Features, Image, List, Value
from mteb import TaskMetadata
from mteb.abstasks import AbsTaskClassification, AbsTaskRetrieval, AbsTaskZeroShotClassification
from PIL import Image as Pillow

FEATURES = {
    "text": Value("string"),
    "image": Image(),
    "audio": {"array": List(Value("float32")), "sampling_rate": Value("int32")},
    "label": Value("int64"),
    "id": Value("string"),
}


def plain(modality, value):
    """A value as data sets hold it."""
    if modality == "image":
        return Pillow.fromarray(value)
    if modality == "audio":
        return {"array": value.samples.tolist(), "sampling_rate": value.rate_hz}
    return value


def table(**columns):
    """A data set; media as molspace decodes them."""
    data = {name: [plain(name, value) for value in column] for name, column in columns.items()}
    return Dataset.from_dict(data, features=Features({name: FEATURES[name] for name in columns}))


def metadata(name, kind, main, modalities, category, **more):
    return TaskMetadata(
        name=name,
        description="made of the mini lab",
        type=kind,
        main_score=main,
        eval_langs=["eng-Latn"],
        eval_splits=["test"],
        dataset={"path": "nobody/nothing", "revision": "1"},
        modalities=modalities,
        category=category,
        **more,
    )


def with_data(base, about, dataset, **attributes):
    """A task whose data are there."""
    kind = type(about.name, (base,), {"metadata": about, **attributes})
    task = kind()
    task.dataset, task.data_loaded = dataset, True
    return task


def retrieval(name, queries, corpus, relevant, modalities, category, kind="Any2AnyRetrieval"):
    """Queries to find others with; ``relevant`` maps a query's place to those of its answers."""
    data = {
        "queries": queries.add_column("id", [f"q{i}" for i in range(len(queries))]),
        "corpus": corpus.add_column("id", [f"d{i}" for i in range(len(corpus))]),
        "relevant_docs": {
            f"q{i}": {f"d{j}": 1 for j in documents} for i, documents in relevant.items()
        },
        "top_ranked": None,
    }
    about = metadata(name, kind, "hit_rate_at_1", modalities, category)
    return with_data(AbsTaskRetrieval, about, {"default": {"test": data}})


def zero_shot(name, modality, values, labels, prompts):
    data = DatasetDict({"test": table(**{modality: values, "label": labels})})
    about = metadata(
        name, "ZeroShotClassification", "accuracy", ["text", modality], f"{modality[0]}2t"
    )
    return with_data(
        AbsTaskZeroShotClassification,
        about,
        data,
        input_column_name=modality,
        get_candidate_labels=lambda self: list(prompts),
    )


def classification(name, modality, values, labels, prompt=None):
    """A linear probe, trained and tested on the same items."""
    rows = table(**{modality: values, "label": labels})
    about = metadata(
        name, "Classification", "accuracy", [modality], f"{modality[0]}2c", prompt=prompt
    )
    return with_data(
        AbsTaskClassification,
        about,
        DatasetDict({"train": rows, "test": rows}),
        input_column_name=modality,
        n_experiments=1,
        samples_per_label=2,
    )
