"""Write caffe/proto/dialects.desc: the schema with all dialects, after a change."""

from __future__ import annotations

from caffe.proto import caffe_pb2
from caffe.proto.dialects import dialects
from caffe.proto.schema import digest


def content() -> bytes:
    """Give what the file has to hold."""
    raw = (caffe_pb2._FOLDER / "caffe.desc").read_bytes()
    ours = [dialect for dialect in dialects() if dialect.offset is not None]
    schema = caffe_pb2.of_ours(raw, ours)
    return digest(raw, ours) + schema.SerializeToString(deterministic=True)


if __name__ == "__main__":
    (caffe_pb2._FOLDER / "dialects.desc").write_bytes(content())
