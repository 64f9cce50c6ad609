import json
import subprocess
import sys

from in_process import runner

from reactions.labs.schema import json_schema


def test_the_schema_is_printed(monkeypatch, capsys):
    code, out, err = runner(monkeypatch, capsys)("lab", "schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == json_schema()


def test_completion_and_help_do_without_the_models_of_lab_files():
    code = (
        "import sys\n"
        "import molspace_cli.app, molspace_cli.complete\n"
        "molspace_cli.complete._spaces_of('paper')\n"
        "assert 'pydantic' not in sys.modules, 'pydantic is imported'\n"
        "assert 'reactions.labs.schema' not in sys.modules\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
