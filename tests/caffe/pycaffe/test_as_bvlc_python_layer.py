"""What BVLC's own tests of Python layers check, as its files do: by their own name.

The layers stand in the file of the test, which is found on PYTHONPATH; so each file
runs in an interpreter of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

FILE = '''
import os, tempfile, unittest
import caffe

class Tenfold(caffe.Layer):
    def setup(self, bottom, top):
        pass
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff

class Fails(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError

class Learns(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        pass
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1

class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass
    def reshape(self, bottom, top):
        top[0].reshape()
    def forward(self, bottom, top):
        top[0].data[()] = self.phase

IN = "input: 'data' input_shape { dim: 10 dim: 9 dim: 8 }"

def layer(name, cls, bottom=None):
    bottom = "bottom: '%s'" % bottom if bottom else ""
    return """layer { type: 'Python' name: '%s' %s top: '%s'
      python_param { module: '%s' layer: '%s' } }""" % (
        name, bottom, name, __name__, cls)

def net_file(*parts):
    with tempfile.NamedTemporaryFile(mode='w+', delete=False) as f:
        f.write("name: 'pythonnet' force_backward: true " + ' '.join(parts))
        return f.name

@unittest.skipIf('Python' not in caffe.layer_type_list(), 'no Python layers')
class TestPythonLayer(unittest.TestCase):
    def setUp(self):
        name = net_file(IN, layer('one', 'Tenfold', 'data'),
                        layer('two', 'Tenfold', 'one'),
                        layer('three', 'Tenfold', 'two'))
        self.net = caffe.Net(name, caffe.TRAIN)
        os.remove(name)

    def test_forward(self):
        self.net.blobs['data'].data[...] = 8
        self.net.forward()
        self.assertEqual(set(self.net.blobs['three'].data.flat), {8000})

    def test_backward(self):
        self.net.blobs['three'].diff[...] = 7
        self.net.backward()
        self.assertEqual(set(self.net.blobs['data'].diff.flat), {7000})

    def test_reshape(self):
        self.net.blobs['data'].reshape(4, 4, 4, 4)
        self.net.forward()
        for blob in self.net.blobs.values():
            self.assertEqual(list(blob.data.shape), [4] * 4)

    def test_exception(self):
        name = net_file(IN, layer('layer', 'Fails', 'data'))
        self.assertRaises(RuntimeError, caffe.Net, name, caffe.TEST)
        os.remove(name)

    def test_parameter(self):
        name = net_file(IN, layer('layer', 'Learns', 'data'))
        net = caffe.Net(name, caffe.TRAIN)
        net.forward()
        net.backward()
        made = net.layers[list(net._layer_names).index('layer')]
        self.assertEqual(made.blobs[0].data[0], 0)
        self.assertEqual(made.blobs[0].diff[0], 1)
        made.blobs[0].data[0] += made.blobs[0].diff[0]
        handle, weights = tempfile.mkstemp()
        os.close(handle)
        net.save(weights)
        made.blobs[0].data[0] = -1
        net.copy_from(weights)
        self.assertEqual(made.blobs[0].data[0], 1)
        os.remove(weights)
        other = caffe.Net(name, caffe.TRAIN)
        other.share_with(net)
        shared = other.layers[list(other._layer_names).index('layer')]
        self.assertEqual(shared.blobs[0].data[0], 1)
        made.blobs[0].data[0] = 5
        self.assertEqual(shared.blobs[0].data[0], 5)
        os.remove(name)

    def test_phase(self):
        name = net_file(layer('phase', 'Phase'))
        for phase in caffe.TRAIN, caffe.TEST:
            net = caffe.Net(name, phase)
            self.assertEqual(net.forward()['phase'], phase)
        os.remove(name)
'''


def run(folder, *command):
    found = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *([found] if found else [])]),
        "GLOG_minloglevel": "2",
    }
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def test_layers_stand_in_the_file_that_uses_them(tmp_path):
    (tmp_path / "test_ten.py").write_text(FILE)
    done = run(tmp_path, "-m", "unittest", "discover")
    assert done.returncode == 0, done.stderr
    assert "Ran 6 tests" in done.stderr


@pytest.mark.slow
def test_layers_of_a_script_are_found_as_main(tmp_path):
    (tmp_path / "script.py").write_text(
        FILE + "\nif __name__ == '__main__':\n    unittest.main()\n"
    )
    done = run(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert "Ran 6 tests" in done.stderr
