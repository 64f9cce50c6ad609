import json
import os

import command_line
import pytest
from published_heads import WIDTHS, lab_file, mcr_state, write_freebind

DIMS = {"ImageBind": 8, "InternVL": 6, "CLAP_m": 4, "CLAP_g": 5}


def molspace(*arguments, **environment):
    return command_line.molspace(*arguments, env={**os.environ, **environment})


@pytest.fixture
def published(tmp_path):
    return write_freebind(tmp_path / "published", DIMS, *WIDTHS)


def test_all_products_are_imported_and_shown(published, tmp_path):
    lab = lab_file(tmp_path, DIMS)
    done = molspace("import", "freebind", published, "--lab", lab)
    assert done.returncode == 0, done.stderr
    paths = done.stdout.splitlines()
    assert len(paths) == 3
    assert "InternVL_IB_FTPP_G_Proj is left out" in done.stderr
    assert "IB_PP: ImageBind + Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)" in done.stderr
    assert molspace("show").returncode == 3  # none of three is the current one
    shown = molspace("show", paths[2])
    assert "imported from\tfreebind, 21 files" in shown.stdout
    assert "lab\tpublished\n" in shown.stdout


def test_a_single_one_becomes_the_current_bundle(published, tmp_path):
    lab, out = lab_file(tmp_path, DIMS), tmp_path / "bundle"
    done = molspace(
        *("import", "freebind", published, "--lab", lab),
        *("--product", "ImageBind++", "--out", out, "--json", "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (entry,) = json.loads(done.stdout)["bundles"]
    assert entry["product"] == "IB_PP"
    assert entry["bundle"] == str(out)
    shown = json.loads(molspace("show", "--json").stdout)
    assert shown["digest"] == entry["digest"]
    assert shown["imported"]["product"] == "IB_PP"


def test_mistakes_get_their_exit_code_and_their_fix(published, tmp_path):
    lab = lab_file(tmp_path, DIMS)
    good = ("import", "freebind", published, "--lab", lab)
    for arguments, code, words in [
        (("import", "freebnd", published), 2, "did you mean 'freebind'"),
        (("import", "freebind", tmp_path / "publishd"), 3, "did you mean 'published'"),
        ((*good, "--product", "IB_P"), 2, "did you mean 'IB_PP'"),
        ((*good, "--product", "InternVL_IB_FTPP"), 3, "tuned audio encoder"),
        (("import", "freebind", published, "--lab", "papr"), 3, "did you mean 'paper'"),
        ((*good, "--weights", "CLAP_g"), 2, "NAME=PATH"),
        ((*good, "--out", lab), 4, "cannot write the bundle"),
        ((*good, "--product", "IB_PP", "--out", tmp_path), 4, "something other than a bundle"),
    ]:
        done = molspace(*arguments)
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == code
        assert done.stdout == ""


def test_without_a_lab_the_spaces_are_the_published_ones(published, tmp_path):
    done = molspace("import", "freebind", published, MOLSPACE_WEIGHTS=str(tmp_path))
    assert done.returncode == 3
    assert "no weights for space 'ImageBind'" in done.stderr
    assert "molspace spaces fetch" in done.stderr


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_other_methods_are_imported_too(recipe, tmp_path):
    import torch

    from reactions.exchange.import_mcr import LAYOUTS

    widths = {"base": 6, "expert": 5, "new": 7, "hidden": 10}
    widths |= {"hidden of Head_A": 9, "hidden of Head_B": 11}
    torch.save(mcr_state(LAYOUTS[recipe], widths, seed=1), tmp_path / "heads.pt")
    command = ("import", recipe, tmp_path / "heads.pt", "--lab", lab_file(tmp_path, DIMS))
    done = molspace(*command, "--base", "InternVL")
    assert done.returncode == 0, done.stderr
    shown = molspace("show")
    assert f"path\t{done.stdout.strip()}\n" in shown.stdout
    assert f"imported from\t{recipe}, 1 file" in shown.stdout
    assert "embeds\taudio, image, text in" in shown.stdout
    wrong = molspace(*command, "--base", "InternVl", "--json")
    assert wrong.returncode == 2
    assert "did you mean 'InternVL'" in json.loads(wrong.stderr)["fix"]
