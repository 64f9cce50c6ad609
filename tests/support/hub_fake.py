"""A hub in a folder, by the few calls of its library that we use."""

import shutil
from pathlib import Path
from types import SimpleNamespace

from huggingface_hub import EvalResult, ModelCardData


class RepositoryNotFoundError(Exception):
    pass


class Hub:
    """Stands for the package ``huggingface_hub``; repositories are folders, cards are its own."""

    ModelCardData, EvalResult = ModelCardData, EvalResult

    def __init__(self, root):
        self.root = Path(root)
        self.calls = []

    def HfApi(self):
        return self

    def _folder(self, repo):
        folder = self.root / repo
        if not folder.is_dir():
            raise RepositoryNotFoundError(f"404 Client Error.\n\nRepository Not Found for {repo}.")
        return folder

    def repo_exists(self, repo_id):
        return (self.root / repo_id).is_dir()

    def list_repo_files(self, repo_id):
        folder = self._folder(repo_id)
        return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.calls.append(("create", repo_id, private))
        (self.root / repo_id).mkdir(parents=True)
        (self.root / repo_id / ".gitattributes").write_text("*.safetensors filter=lfs\n")

    def upload_folder(
        self, *, repo_id, folder_path, allow_patterns, commit_message, delete_patterns=None
    ):
        for name in delete_patterns or ():
            (self._folder(repo_id) / name).unlink()
        self.calls.append(("upload", repo_id, commit_message))
        for path in Path(folder_path).iterdir():
            if path.name not in allow_patterns:
                continue
            shutil.copyfile(path, self._folder(repo_id) / path.name)
        return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")

    def model_info(self, repo_id, *, revision=None):
        if revision not in (None, "main", "v1"):
            raise ValueError(f"Revision Not Found: {revision}")
        names = self.list_repo_files(repo_id)
        return SimpleNamespace(sha="c" * 40, siblings=[SimpleNamespace(rfilename=n) for n in names])

    def snapshot_download(self, repo_id, *, revision, cache_dir, allow_patterns):
        self.calls.append(("download", repo_id, revision))
        folder = Path(cache_dir) / f"models--{repo_id.replace('/', '--')}" / "snapshots" / revision
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.list_repo_files(repo_id):
            if name in allow_patterns:
                shutil.copyfile(self._folder(repo_id) / name, folder / name)
        return str(folder)
