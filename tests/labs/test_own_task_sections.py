"""What [tasks] of a lab file may say, and what is refused with the fix."""

import json

import pytest
from lab_files import load, refused
from media_files import image_bytes, put, sound_bytes
from typer.testing import CliRunner

from molspace_cli import complete
from molspace_cli.app import app

pytestmark = pytest.mark.usefixtures("own_folder")

TABLE = '[tasks.x]\nkind = "retrieval"\npath = "t.csv"\naudio = "a"\ntext = "b"\n'
FOLDER = '[tasks.x]\nkind = "classification"\nimage = "photos"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TABLE + 'by_id = "vidoe"', r"tasks\.x\.by_id names 'vidoe', which it has no column of"),
        (TABLE + 'by_id = true\nid = "k"', r"tasks\.x\.id says nothing about ids of embeddings"),
        (TABLE + 'by_id = true\nfolder = "f"', r"tasks\.x\.folder says nothing"),
        (TABLE + "by_id = true\nliteral = true", r"tasks\.x\.literal says nothing"),
        (TABLE + "by_id = []", r"tasks\.x\.by_id is \[\], neither true nor modalities"),
        (TABLE + "by_id = 3", r"tasks\.x\.by_id is 3, neither"),
        (FOLDER + "by_id = true", r"tasks\.x\.by_id goes with path, a table"),
        ("[tasks]\nx = 3", "'tasks.x' is not a table"),
        ('[tasks.x]\npath = "a"', "tasks.x.kind is missing.*retrieval"),
        ('[tasks.x]\nkind = "retreival"', "tasks.x.kind is 'retreival'.*did you mean 'retrieval'"),
        (TABLE + 'colunm = "x"', "unknown key tasks.x.colunm"),
        (TABLE + 'imag = "x"', "unknown key tasks.x.imag.*did you mean 'image'"),
        (TABLE.replace('text = "b"', ""), r"names 1 modality \(audio\); retrieval takes 2"),
        (TABLE.replace('text = "b"', "text = []"), r"tasks\.x\.text is an empty list"),
        (FOLDER + 'audio = "y"', r"names 2 modalities \(image, audio\); classification takes 1"),
        (FOLDER + 'class = "y"', "tasks.x.class goes with path, a table"),
        (FOLDER + 'id = "y"', "tasks.x.id goes with path"),
        (FOLDER.replace('"photos"', '["a", "b"]'), "tasks.x.image is not one folder"),
        (FOLDER.replace("image", "text"), "tasks.x.text is not a folder of files.*TABLE.csv"),
        (FOLDER + 'path = "t.csv"', "tasks.x.class is missing"),
        (FOLDER.replace("classification", "multilabel"), "tasks.x.path is missing"),
        (FOLDER + 'separator = ";"', "separator goes with multilabel alone"),
        (TABLE + 'class = "y"', "class does not go with retrieval"),
        (TABLE + 'templates = ["{class}"]', "the task 'x' has prompt templates"),
        (FOLDER + 'templates = ["a photo"]', r"template 'a photo' without \{class\}"),
        (FOLDER.replace("image", "depth"), "the task 'x' has no prompt template"),
        (TABLE + 'main_score = "R@1"', "the task 'x' has the main score 'R@1'"),
        (TABLE + "max_bad = 2", "tasks.x.max_bad must be a share"),
        (TABLE.replace("t.csv", "https://a.b/t.csv"), "tasks.x.path is the address.*download it"),
        (TABLE.replace("tasks.x", "tasks.esc50"), "name of a published evaluation set, 'esc50'"),
        (TABLE.replace("tasks.x", "tasks.MS-COCO"), r"evaluation set, 'coco'.*\[data.coco\]"),
        (TABLE.replace("tasks.x", "tasks.all"), "cannot be asked for by this name"),
        (TABLE.replace("tasks.x", 'tasks."a,b"'), "cannot be asked for by this name"),
        (TABLE + FOLDER.replace("tasks.x", "tasks.X"), "cannot be told apart"),
        (TABLE + '[data.y]\npath = "z"', "unknown key data.y"),
    ],
)
def test_mistakes_are_named_with_the_fix(text, words):
    refused(text, words)


def test_a_description_in_full():
    lab = load(
        TABLE
        + 'title = "My sounds"\nlicence = "CC0"\ncitation = "me"\nmain_score = "audio->text R@5"'
    )
    task = lab.own_tasks["x"].task
    assert (task.title, task.licence, task.citation) == ("My sounds", "CC0", "me")
    assert (task.query, task.other, task.main_score) == ("audio", "text", "audio->text R@5")
    assert task.protocol
    assert [task.name for task in lab.parse_tasks("all")][-1] == "x"
    assert lab.parse_tasks("X, x") == (task,)


# --- commands ---


@pytest.fixture
def lab(tmp_path):
    """A lab with two sets of its own, one of captions that its corpus holds, too."""
    for i in range(4):
        put(tmp_path / f"sounds/{i}.wav", sound_bytes(i))
        put(tmp_path / f"photos/{'ab'[i % 2]}/{i}.png", image_bytes(i))
    put(tmp_path / "captions.txt", "rain falls\nwind\n")
    put(tmp_path / "t.csv", "a,b\n" + "".join(f"sounds/{i}.wav,caption {i}\n" for i in range(3)))
    with (tmp_path / "t.csv").open("a") as stream:
        stream.write("sounds/3.wav,Rain falls!\n")
    text = f'[lab]\nextends = "mini"\nworld_tasks = false\n{TABLE}{FOLDER.replace(".x", ".photos")}'
    put(tmp_path / "molspace.toml", text + '[corpora.text]\npath = "captions.txt"\n')
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_eval_of_all_takes_them(lab):
    output = run("eval", "--task", "all", "--space", "ImageBind", "--device", "cpu", "--json")
    results = json.loads(output)["results"]
    assert [(r["task"], r["n"], r["main"]) for r in results] == [
        ("x", 4, "mean R@1"),
        ("photos", 4, "accuracy"),
    ]
    assert results[1]["classes"]["n"] == 2


def test_eval_says_how_many_items_are_listed(lab):
    put(lab / "sounds/0.wav", b"")
    put(
        lab / "molspace.toml",
        (lab / "molspace.toml").read_text().replace(TABLE, f"{TABLE}max_bad = 0.5\n"),
    )
    result = CliRunner().invoke(app, ["eval", "--task", "x", "--space", "ImageBind"])
    assert "n: 3   listed: 4" in result.stdout
    assert "note: x: audio: 1 of 4 items are left out" in result.stderr


def test_lists_count_them_and_checks_compare_their_captions(lab):
    put(next(lab.glob("photos/*")) / "phone.heic", b"x")
    entries = {e["name"]: e for e in json.loads(run("data", "list", "--json"))["data"]}
    assert (entries["x"]["found"], entries["x"]["expected"]) == (4, 4)
    assert (entries["photos"]["kind"], entries["photos"]["others"]) == ("task", 1)
    findings = json.loads(run("data", "check", "--json"))["findings"]
    assert [(f["task"], f["count"]) for f in findings if f["kind"] == "leakage"] == [("x", 1)]


def test_leaks_are_noted_before_a_run(lab):
    from reactions.labs.inventory import leaks
    from reactions.labs.lab_file import load_lab

    (notice,) = leaks(load_lab("molspace.toml"))
    assert notice.startswith("text corpus: 1 of 2 texts are captions of x, which is also evaluated")
    assert leaks(load_lab("molspace.toml")) == (notice,)
    put(lab / "t.csv", "a,b\nsounds/0.wav,other\n", when_s=1_600_000_009)
    assert leaks(load_lab("molspace.toml")) == ()


def test_a_broken_set_is_listed_with_its_problem(lab):
    (lab / "t.csv").unlink()
    entries = {e["name"]: e for e in json.loads(run("data", "list", "--json"))["data"]}
    assert "there is no 't.csv'" in entries["x"]["problem"]
    result = CliRunner().invoke(app, ["eval", "--task", "all", "--space", "ImageBind", "--json"])
    assert [r["task"] for r in json.loads(result.stdout)["results"]] == ["photos"]
    assert "note: x is left out: no data for task 'x'" in result.stderr


def test_shells_complete_them(lab):
    from types import SimpleNamespace

    assert complete.tasks(SimpleNamespace(params={}), "x") == ["x"]
    assert complete.tasks(SimpleNamespace(params={"lab": "mini"}), "x") == []


def test_the_paper_s_tables_are_not_theirs(lab):
    from reactions.experiments.paper.tables import TABLES

    assert not {"x", "photos"} & {task for table in TABLES.values() for task in table.tasks}
    result = CliRunner().invoke(app, ["reproduce", "table4", "--rows", "ImageBind", "--json"])
    assert {t["task"] for t in json.loads(result.stdout)["tasks"]} == set(TABLES["table4"].tasks)
