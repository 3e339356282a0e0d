"""Work that is killed on its way, and what it left behind."""

import os
import signal


def killed_at(step, work, *args, **options):
    """Run work(…) in a child that gets SIGKILL just before its step-th rename; whether it came that far."""
    child = os.fork()
    if child == 0:
        count, replace = 0, os.replace

        def counted(*paths):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*paths)

        os.replace = counted
        try:
            work(*args, **options)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def tree(folder):
    """Every file below `folder` with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}
