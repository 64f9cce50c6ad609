import json
import subprocess
import sys

import pytest

from molspace_cli.__main__ import main
from reactions.labs.schema import json_schema


def test_the_schema_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["molspace", "lab", "schema"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json_schema()
    assert printed.err == ""


def test_completion_and_help_do_without_the_models_of_lab_files():
    code = (
        "import sys\n"
        "import molspace_cli.app, molspace_cli.complete\n"
        "molspace_cli.complete._spaces_of('paper')\n"
        "assert 'pydantic' not in sys.modules, 'pydantic is imported'\n"
        "assert 'reactions.labs.schema' not in sys.modules\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
