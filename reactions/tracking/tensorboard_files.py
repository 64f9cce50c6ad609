"""TensorBoard's event files, a folder for each run.

Written by the package ``tensorboard`` alone: ``torch.utils.tensorboard`` does the same, after a
second in which torch is imported.
"""

from __future__ import annotations

import itertools
import os
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reactions.core.local_files import expand_user, writable_folder
from reactions.encoders.packages import need_package
from reactions.tracking.board import BoardName, Fact

_FLUSH_EVERY_S = 1
"""The writer's thread does it: a killed run loses no more than the last second."""

_UNFIT = re.compile(r"[^\w .,+&=()-]+")
"""What file systems, or shells, have other uses for."""

_LONGEST = 120


class EventFiles:
    """Writes to folders within one folder.

    Args:
        folder: made if it is not there.

    Raises:
        MissingError: ``tensorboard`` is not installed.
        StoreError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str) -> None:
        need_package("tensorboard", f"--track {folder}", "track")
        self._folder = expand_user(folder)
        writable_folder(self._folder, "what is tracked", "name another folder with --track")

    def open(self, name: BoardName, facts: Mapping[str, Fact]) -> EventFile:
        """Open a file in a folder that is named after the run, within that of the group."""
        parent = self._folder / _fit(name.group) if name.group else self._folder
        return EventFile(_new_folder(parent, _fit(name.run)), facts)


class EventFile:
    """One file of events.

    Args:
        folder: of the run, to be empty.
        facts: written as a text, and as hyper-parameters.

    Attributes:
        folder: of the run.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Fact]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder = folder
        self._writer: Any = EventFileWriter(os.fspath(folder), flush_secs=_FLUSH_EVERY_S)
        self.text("run", "  \n".join(f"{name}: {value}" for name, value in facts.items()))
        self._session(facts)

    def scalar(self, tag: str, value: float, position: int) -> None:
        """Add a point to a curve."""
        self._add(tag, position, simple_value=value)

    def text(self, tag: str, text: str) -> None:
        """Add a text."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata.PluginData(plugin_name="text")
        self._add(
            tag,
            metadata=SummaryMetadata(plugin_data=plugin),
            tensor=TensorProto(
                dtype=DT_STRING,
                string_val=[text.encode()],
                tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
            ),
        )

    def close(self, *, complete: bool) -> None:
        """Write what is left."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        status = api_pb2.STATUS_SUCCESS if complete else api_pb2.STATUS_FAILURE
        ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        self._plugin_data(metadata.SESSION_END_INFO_TAG, session_end_info=ended)
        self._writer.close()

    def _session(self, facts: Mapping[str, Fact]) -> None:
        """Write facts as hyper-parameters, which TensorBoard shows as a table beside scores."""
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        began = plugin_data_pb2.SessionStartInfo(
            group_name=uuid.uuid4().hex, start_time_secs=time.time()
        )
        for name, value in facts.items():
            if isinstance(value, str):
                began.hparams[name].string_value = value
            else:
                began.hparams[name].number_value = value
        self._plugin_data(metadata.SESSION_START_INFO_TAG, session_start_info=began)

    def _plugin_data(self, tag: str, **content: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = plugin_data_pb2.HParamsPluginData(
            version=metadata.PLUGIN_DATA_VERSION, **content
        ).SerializeToString()
        plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data)
        self._add(tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=metadata.NULL_TENSOR)

    def _add(self, tag: str, position: int = 0, **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, **value)])
        self._writer.add_event(Event(wall_time=time.time(), step=position, summary=summary))


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder that was not there, so that runs do not mix."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name} ({number})")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise AssertionError("unreachable: count has no end")


def _fit(name: str) -> str:
    """Return a name as one part of a path."""
    return _UNFIT.sub("-", name)[:_LONGEST].strip(" .-") or "run"
