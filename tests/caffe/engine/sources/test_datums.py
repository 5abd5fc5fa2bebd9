import numpy as np
import pytest

from caffe.engine.sources.datums import DatumBatches
from caffe.engine.transformer import DataTransformer
from caffe.errors import FileError
from caffe.io import array_to_datum
from caffe.proto import caffe_pb2


class Vanishing:
    """A database that is empty when it is read for the second time."""

    path = "db"

    def __init__(self):
        raw = array_to_datum(np.zeros((1, 2, 2), np.uint8)).SerializeToString()
        self.rows = {b"0": raw, b"1": raw}

    def records(self, start=b""):
        rows, self.rows = self.rows, {}
        for key, value in rows.items():
            yield key, lambda value=value: value


def test_a_database_that_is_emptied_while_it_is_read_is_an_error():
    transformer = DataTransformer(
        caffe_pb2.TransformationParameter(), train=False, log=lambda *line: None
    )
    batches = DatumBatches(
        Vanishing(),
        transformer,
        batch=3,
        seed=0,
        share=(0, 1),
        log=lambda *line: None,
        labels=True,
    )
    state = {"key": np.frombuffer(b"0", np.uint8), "row": 0, "seed": 0}
    with pytest.raises(FileError, match="db: has no records any more"):
        batches.read(state)
