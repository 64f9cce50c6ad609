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
    result = molspace("import", "freebind", published, "--lab", lab)
    assert result.returncode == 0, result.stderr
    paths = result.stdout.splitlines()
    assert len(paths) == 3
    assert "InternVL_IB_FTPP_G_Proj is left out" in result.stderr
    assert "IB_PP: ImageBind + Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)" in result.stderr
    assert molspace("show").returncode == 3  # none of three is the current one
    bundle_shown = molspace("show", paths[2])
    assert "imported from\tfreebind, 21 files" in bundle_shown.stdout
    assert "lab\tpublished\n" in bundle_shown.stdout


def test_a_single_one_becomes_the_current_bundle(published, tmp_path):
    lab, out = lab_file(tmp_path, DIMS), tmp_path / "bundle"
    result = molspace(
        *("import", "freebind", published, "--lab", lab),
        *("--product", "ImageBind++", "--out", out, "--json", "--quiet"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (entry,) = json.loads(result.stdout)["bundles"]
    assert entry["product"] == "IB_PP"
    assert entry["bundle"] == str(out)
    bundle_shown = json.loads(molspace("show", "--json").stdout)
    assert bundle_shown["digest"] == entry["digest"]
    assert bundle_shown["imported"]["product"] == "IB_PP"


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
        result = molspace(*arguments)
        assert words in result.stderr, result.stderr
        assert "Traceback" not in result.stderr
        assert result.returncode == code
        assert result.stdout == ""


def test_without_a_lab_the_spaces_are_the_published_ones(published, tmp_path):
    result = molspace("import", "freebind", published, MOLSPACE_WEIGHTS=str(tmp_path))
    assert result.returncode == 3
    assert "no weights for space 'ImageBind'" in result.stderr
    assert "molspace spaces fetch" in result.stderr


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_other_methods_are_imported_too(recipe, tmp_path):
    import torch

    from reactions.exchange.import_mcr import LAYOUTS

    widths = {"base": 6, "expert": 5, "new": 7, "hidden": 10}
    widths |= {"hidden of Head_A": 9, "hidden of Head_B": 11}
    torch.save(mcr_state(LAYOUTS[recipe], widths, seed=1), tmp_path / "heads.pt")
    command = ("import", recipe, tmp_path / "heads.pt", "--lab", lab_file(tmp_path, DIMS))
    result = molspace(*command, "--base", "InternVL")
    assert result.returncode == 0, result.stderr
    bundle_shown = molspace("show")
    assert f"path\t{result.stdout.strip()}\n" in bundle_shown.stdout
    assert f"imported from\t{recipe}, 1 file" in bundle_shown.stdout
    assert "embeds\taudio, image, text in" in bundle_shown.stdout
    wrong = molspace(*command, "--base", "InternVl", "--json")
    assert wrong.returncode == 2
    assert "did you mean 'InternVL'" in json.loads(wrong.stderr)["fix"]
