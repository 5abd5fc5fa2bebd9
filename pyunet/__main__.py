"""``python -m pyunet``: the same as the command ``pyunet``."""

import sys

from pyunet.cli import main

if __name__ == "__main__":
    sys.exit(main())
