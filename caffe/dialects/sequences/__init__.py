"""Layers for sequences: Lstm of junhyukoh, CTC of ChWick and warp-ctc, caffe_ocr's.

Fields stand with the numbers of caffe_ocr (senlinuc), which has most of them; the Lstm
with junhyukoh's.
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="sequences",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.sequences.layers",
    options={
        "Lstm": "lstm_param",
        "CTCGreedyDecoder": "ctc_decoder_param",
        "WarpCTCLoss": "ctc_loss_param",
    },
    offset=10000,
)
