"""Models by name: the nets of the package, and trained weights for them.

``finding`` knows nets, ``manifest`` what is known of trained models, ``cache`` where
they lie; ``fetching`` brings them (``download``, ``archives``, ``renaming``),
``adding`` takes in a user's own, ``half`` stores weights in half of their size.
"""

from pyunet.zoo.finding import DEPLOY, find_file, find_model, kind_of, model_names
from pyunet.zoo.half import half_precision

__all__ = [
    "DEPLOY", "find_file", "find_model", "half_precision", "kind_of", "model_names",
]  # fmt: skip
