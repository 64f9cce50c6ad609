import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import molspace

MOLSPACE = [sys.executable, "-m", "molspace_cli"]
COMMANDS = (
    "react",
    "eval",
    "infer",
    "plan",
    "sweep",
    "tune",
    "show",
    "report",
    "spaces",
    "data",
    "lab",
    "cache",
    "reproduce",
    "import",
    "push",
    "pull",
)


def test_help_names_every_command_and_every_command_has_help():
    result = molspace("--help")
    assert result.returncode == 0
    assert result.stderr == ""
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_ends_well(command):
    result = molspace(command, "--help")
    assert result.returncode == 0
    assert f"molspace {command}" in result.stdout


def test_the_documentation_lists_every_command():
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"molspace {command}" in page


def test_help_loads_neither_torch_nor_numpy_nor_rich():
    code = (
        "import sys\nsys.argv = ['molspace', '--help']\n"
        "import molspace_cli.__main__ as m\n"
        "try:\n    m.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'rich', 'lark'} & set(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stderr.strip() == "[]"


def test_a_typo_in_a_space_gets_caret_and_fix_and_no_traceback():
    result = molspace("react", "ImageBind + Cr(clapm)")
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "error: unknown space 'clapm'"
    assert lines[1] == "  ImageBind + Cr(clapm)"
    assert lines[2] == "                 ^^^^^"
    assert "did you mean 'CLAP_m'?" in lines[-1]


def test_errors_as_json():
    result = molspace("plan", "ImageBind +", "--json")
    assert result.returncode == 2
    error = json.loads(result.stderr)
    assert error["error"] == "LanguageError"
    assert error["fix"]
    assert error["column"] == len("ImageBind +")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evl"], 2, "did you mean 'eval'"),
        (["eval", "--task", "esc5"], 2, "did you mean 'esc50'"),
        (["react", "ImageBind + Cr(CLAP_m)", "--device", "gpu"], 2, "gpu"),
        (["react", "ImageBind + Cr(CLAP_m)", "--lab", "minni"], 3, "did you mean 'mini'"),
        (["react", "ImageBind"], 2, "is a space, not a reaction"),
        (["plan", "ImageBind + Lcl(kbb)"], 2, "did you mean 'kb'?"),
        (["plan", "ImageBind + Cr(CLAP_m, recipe=exmrc)"], 2, "did you mean 'exmcr'"),
        (["show"], 3, "no current bundle"),
        (["show", "nowhere"], 3, "no bundle at nowhere"),
        (["eval", "--task", "esc50", "--space", "no/where"], 3, "no bundle at no/where"),
        (["eval", "--task", "esc50", "--space", "my-bundel"], 3, "no bundle at my-bundel"),
        (["eval", "--task", "esc50", "--space", "/"], 3, "the folder has no bundle.json"),
    ],
)
def test_mistakes_get_their_exit_code_and_their_fix(arguments, code, words):
    result = molspace(*arguments)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == code
    assert result.stdout == ""


@pytest.mark.parametrize("out", [".", "notes.txt", "notes.txt/bundle"])
def test_a_bad_place_for_the_bundle_is_refused_before_anything_runs(tmp_path, out):
    (tmp_path / "notes.txt").write_text("mine")
    env = {**os.environ, "MOLSPACE_CACHE": str(tmp_path / "cache")}
    result = molspace("react", "ImageBind + Cr(CLAP_m)", "--out", tmp_path / out, env=env)
    assert result.returncode == 4
    assert "error:" in result.stderr
    assert "Traceback" not in result.stderr
    assert "steps to run" not in result.stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_reader_who_leaves_early_is_not_an_error():
    process = subprocess.Popen(
        [*MOLSPACE, "plan", "ImageBind + Cr(CLAP_m)", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=120)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize(
    ("redirected", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 4), ("<&-", 0)]
)
def test_closed_and_full_streams_end_without_a_traceback(redirected, code):
    command = shlex.join([*MOLSPACE, "spaces", "list", "--lab", "mini"])
    process = subprocess.run(
        ["sh", "-c", f"{command} {redirected}"], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == code
    assert "Traceback" not in process.stderr
    if code:
        assert "error: cannot write what was found: No space left on device" in process.stderr


def test_a_reaction_from_a_closed_stdin_is_empty():
    command = shlex.join([*MOLSPACE, "react", "-"])
    process = subprocess.run(
        ["sh", "-c", f"{command} <&-"], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


def test_help_imports_little_of_the_library():
    code = (
        "import sys\nsys.argv = ['molspace', '--help']\n"
        "import molspace_cli.__main__ as m\n"
        "try:\n    m.main()\nexcept SystemExit:\n    pass\n"
        "names = {n for n in sys.modules if n.startswith('reactions.')}\n"
        "print(' '.join(names | ({'concurrent.futures'} & set(sys.modules))), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    cheap = {
        "reactions.core",
        "reactions.core.printable",
        "reactions.core.errors",
        "reactions.products",
        "reactions.products.quality_tables",
        "reactions.products.remarks",
    }
    assert set(process.stderr.split()) <= cheap
