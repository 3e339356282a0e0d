"""What the writers of videos and of frame folders share: finished at the end of a `with`, dropped on an exception."""

from __future__ import annotations

from abc import ABC, abstractmethod


class WriterContext(ABC):
    """A writer whose output appears whole when its `with` block ends, and not at all when the block raises."""

    @abstractmethod
    def finish(self) -> None:
        """Move the complete output to its name."""

    @abstractmethod
    def abort(self) -> None:
        """Drop everything: nothing is left at the output's name that was not there before."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()
