"""One whole image through a net, by a plan that the test chose."""

from dataclasses import replace

import numpy as np

from pyunet.inference.adapting import adapted_inputs
from pyunet.inference.averaging import average_window
from pyunet.inference.outputs import write_parts
from pyunet.inference.predict import Part, segment_parts
from pyunet.inference.windows import everywhere, of_array
from pyunet.zoo.manifest import Input


def segment_array(model, image, plan, *, output=None, softmax=False):
    """Compute the scores (K, [Z,] Y, X) of an image (C, [Z,] Y, X)."""
    return next(
        segment_arrays(model, [image], plan, total=1, output=output, softmax=softmax)
    )


def segment_arrays(model, images, plan, *, total, output=None, softmax=False):
    """Compute the scores of images, one after the other."""
    model = replace(model, output=output or model.output)
    windows = map(of_array, images)
    scores, done = None, 0
    for part in segment_parts(model, windows, plan, total=total, softmax=softmax):
        if scores is None:
            scores = np.empty((len(part.scores), *plan.image), np.float32)
        scores[(slice(None), *part.target)] = part.scores
        done += 1
        if done == len(plan):
            yield scores
            scores, done = None, 0


def average_array(model, image, plans, **options):
    """Compute the mean scores of an image (C, [Z,] Y, X)."""
    extent = image.shape[1:]
    mean = average_window(model, of_array(image), extent, plans, **options)
    return mean(everywhere(extent))


def whole_arrays(inputs):
    """Read prepared images whole."""
    return [window(everywhere(inputs.extent)) for window in inputs.windows()]


def restored(inputs, scores):
    """Bring scores to the image's own pixels."""
    window = inputs.restored(of_array(scores), len(scores))
    return window(everywhere(inputs.own))


def plain_inputs(stack, dimensions):
    """Prepare images as for the user's own net: as they are stored."""
    sees = Input(channels=stack.array.shape[1], take="as stored")
    return adapted_inputs(stack, sees, dimensions=dimensions)


def write_stacks(outputs, slices, shape, **options):
    """Write scores and labels of a stack, one slice (K, Y, X) at a time."""
    whole = everywhere(shape[2:])
    parts = (Part(number, whole, scores) for number, scores in enumerate(slices))
    return write_parts(outputs, parts, shape, **options)
