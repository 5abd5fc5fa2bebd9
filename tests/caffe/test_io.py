import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from caffe import io
from caffe.errors import CheckError
from caffe.proto import blobs, caffe_pb2

floats = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=5, min_side=0, max_side=4)
)


class TestBlobProto:
    @given(floats)
    def test_arrays_of_any_shape_come_back_to_the_last_bit(self, array):
        back = io.blobproto_to_array(io.array_to_blobproto(array))
        assert back.dtype == np.float64
        assert back.astype(np.float32).tobytes() == array.tobytes()
        assert back.shape == array.shape

    def test_the_message_is_what_protobuf_itself_makes(self):
        array = np.arange(40, dtype=np.float32).reshape(4, 10)
        message = io.array_to_blobproto(array, diff=-array)
        wanted = caffe_pb2.BlobProto(
            data=array.ravel().tolist(), diff=(-array).ravel().tolist()
        )
        wanted.shape.dim.extend([4, 10])
        assert message == wanted
        assert io.blobproto_to_array(message, return_diff=True)[1, 1] == -11

    def test_old_shapes_have_four_axes(self):
        blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=1, data=[3, 4])
        assert io.blobproto_to_array(blob).shape == (1, 2, 1, 1)

    def test_a_value_without_a_shape_is_a_number(self):
        assert io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123

    def test_several_values_without_a_shape_are_refused(self):
        with pytest.raises(ValueError, match="it has 100"):
            io.blobproto_to_array(caffe_pb2.BlobProto(data=[0] * 100))

    def test_doubles_are_read(self):
        blob = caffe_pb2.BlobProto(double_data=[1.5, 2])
        blob.shape.dim.append(2)
        assert io.blobproto_to_array(blob).tolist() == [1.5, 2]

    def test_a_number_of_values_that_does_not_fit_is_refused(self):
        blob = caffe_pb2.BlobProto(data=[1])
        blob.shape.dim.append(2)
        with pytest.raises(CheckError, match=r"shape \(2,\) needs 2 values, it has 1"):
            io.blobproto_to_array(blob)

    def test_shapes_of_five_axes_equal_no_old_shape(self):
        old = caffe_pb2.BlobProto(num=1, channels=1, height=1, width=1)
        assert not blobs.same_shape((1, 1, 1, 1, 1), old)

    def test_vectors_keep_their_order(self):
        text = io.arraylist_to_blobprotovecor_str([np.zeros(1), np.ones((2, 1))])
        shapes = [a.shape for a in io.blobprotovector_str_to_arraylist(text)]
        assert shapes == [(1,), (2, 1)]


class TestDatum:
    def test_a_label_is_only_written_if_it_is_given(self):
        array = np.ones((10, 10, 3))
        with_label = io.array_to_datum(array, label=1).SerializeToString()
        assert len(with_label) == len(io.array_to_datum(array).SerializeToString()) + 2
        assert not io.array_to_datum(array).HasField("label")

    @pytest.mark.parametrize("kind", [np.uint8, np.float64])
    def test_arrays_come_back(self, kind):
        array = np.arange(24).reshape(2, 3, 4).astype(kind)
        datum = io.array_to_datum(array, label=7)
        assert datum.label == 7
        assert io.datum_to_array(datum).dtype == kind
        assert np.array_equal(io.datum_to_array(datum), array)

    def test_other_than_three_axes_are_refused(self):
        with pytest.raises(CheckError, match=r"this one has shape \(2, 2\)"):
            io.array_to_datum(np.zeros((2, 2)))

    def test_a_number_of_values_that_does_not_fit_is_refused(self):
        with pytest.raises(CheckError, match="has 1 values"):
            io.datum_to_array(caffe_pb2.Datum(channels=2, height=1, width=1, data=b"a"))


def test_the_messages_are_at_hand():
    assert io.caffe_pb2 is caffe_pb2


def test_bytes_that_are_no_vector_of_blobs_are_refused():
    with pytest.raises(CheckError, match="3 bytes that are no BlobProtoVector"):
        io.blobprotovector_str_to_arraylist(b"\x0a\xff\xff")


def test_a_datum_of_negative_extents_is_refused():
    datum = caffe_pb2.Datum(channels=-1, height=-1, width=2, data=b"ab")
    with pytest.raises(CheckError, match="has 2 values"):
        io.datum_to_array(datum)
