"""TensorBoard's event files, read back as TensorBoard itself reads them."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

EVERYTHING = {"scalars": 0, "tensors": 0}


class ReadBoard:
    """One run: its name, curves as (position, value) pairs, texts, and facts."""

    def __init__(self, folder, root):
        reader = EventAccumulator(str(folder), size_guidance=EVERYTHING)
        reader.Reload()
        self.name = str(folder.relative_to(root))
        self.curves = {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }
        self.texts, self.facts, self.status = {}, {}, None
        for tag in reader.Tags()["tensors"]:
            metadata = reader.SummaryMetadata(tag).plugin_data
            if metadata.plugin_name == "text":
                (event,) = reader.Tensors(tag)
                self.texts[tag] = event.tensor_proto.string_val[0].decode()
            else:
                self._session(HParamsPluginData.FromString(metadata.content))

    def _session(self, data):
        if data.HasField("session_start_info"):
            for name, value in data.session_start_info.hparams.items():
                self.facts[name] = getattr(value, value.WhichOneof("kind"))
        else:
            self.status = data.session_end_info.status


def boards(root):
    """Return the runs below a folder, by name."""
    folders = sorted({path.parent for path in Path(root).rglob("events.out.tfevents.*")})
    return [ReadBoard(folder, root) for folder in folders]
