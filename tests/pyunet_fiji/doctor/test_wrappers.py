import pytest

from pyunet_fiji.doctor import wrappers

GOOD = [
    '#!/bin/sh\nexec apptainer exec --nv image.sif caffe "$@"\n',
    '#!/bin/sh\nexec docker run --rm --init \\\n  -v "$PWD:$PWD" image caffe "$@"\n',
    '#!/bin/bash\n# runs | caffe\nset -eu\nmodule load x || true\nexec   caffe "$@"\n',
    "#!/bin/sh\n",
]
BAD = [
    ('docker run --rm image caffe "$@"', "without exec"),
    ('caffe "$@" | tee log', "may hold lines of progress back"),
    ('exec docker exec server caffe "$@"', "hands no signal on"),
    ('exec docker run -it image caffe "$@"', "makes a terminal"),
    ('exec podman run --rm --tty image caffe "$@"', "makes a terminal"),
]


@pytest.mark.parametrize("text", GOOD)
def test_a_wrapper_that_becomes_the_program_is_fine(text):
    assert list(wrappers.check("w", text, "here")) == []


@pytest.mark.parametrize(("line", "said"), BAD)
def test_what_stands_between_plugin_and_program_is_said(line, said):
    (found,) = wrappers.check("w", f"#!/bin/sh\n{line}\n", "here")
    assert said in found.what
    assert found.mend
