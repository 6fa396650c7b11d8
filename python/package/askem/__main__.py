"""The command `askem`, in this process: `python -m askem`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile

if __name__ == "__main__" and not __package__:
    # Started by its path, as the command starts itself anew: the package lies around it.
    del sys.path[0]
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from askem import _native


def main() -> int:
    """Run the command with the arguments of this process.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    # Python's own handlers would wait for the command to end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        # Mesa looks for a Wayland server there, and complains where the variable is not set.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    again = [sys.executable, os.path.abspath(__file__)]
    return _native.command(["askem", *sys.argv[1:]], again)


if __name__ == "__main__":
    sys.exit(main())
