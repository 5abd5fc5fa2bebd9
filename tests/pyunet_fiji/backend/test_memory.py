"""What a net is believed to take of a GPU."""

from types import SimpleNamespace

import numpy as np

from pyunet_fiji.backend.memory import needed_bytes


def blob(*shape):
    return SimpleNamespace(shape=shape, data=np.zeros(0))


def test_all_blobs_count_where_the_engine_does_not_say_more():
    net = SimpleNamespace(
        params={"conv": [blob(2, 1, 3, 3), blob(2)]},
        blobs={"data": blob(1, 1, 10, 10), "conv": blob(1, 2, 8, 8)},
    )
    # 20 weights, 228 activations with a quarter more, 4 bytes each
    assert needed_bytes(net) == 256 * 2**20 + 80 + 1140
    net.activation_bytes = lambda: 100
    assert needed_bytes(net) == 256 * 2**20 + 80 + 125
