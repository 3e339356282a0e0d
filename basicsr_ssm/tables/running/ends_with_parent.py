"""``python ends_with_parent.py PARENT COMMAND …``: the command, killed when the process PARENT ends in whatever way.

So that a GPU is not held by the training of a run that was killed. Run as a file, it imports nothing of the package.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, *command: str) -> None:
    """Becomes the command; the wish outlives exec. Without prctl (not Linux) there is no more than the command."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before the wish was made
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f'error: cannot start {command[0]}: {error.strerror}')


if __name__ == '__main__':
    main(int(sys.argv[1]), *sys.argv[2:])
