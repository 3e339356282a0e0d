"""Which clips a frame belongs to, decided as the frames come: scenes end where nobody could know before."""

from __future__ import annotations

from basicsr_ssm.clips.cutting import Cutting


class Windows:
    """The clips of one source.

    Within each scene the first clip starts with its first frame and the next ones `stride` frames later, or, where
    the cutting lists the starts, with those frames of the source, or the next one in the same scene where they are
    left out. A clip that its scene's end leaves incomplete, or without any frame, is given up; its number goes to the
    next clip, unless the starts are listed.

    Attributes:
        open: clip → numbers, in the source, of the frames that it has so far.
    """

    def __init__(self, cutting: Cutting):
        self.open: dict[int, list[int]] = {}
        self._cutting = cutting
        self._next = 0  # the number of the next clip to start
        self._position = 0  # in the scene

    def add(self, number: int) -> list[tuple[int, int]]:
        """The next frame that may be in clips: [(clip, the frame's number in it)]."""
        if not self._position:
            self._pass_over_starts_before(number)
        if self._starts_here(number):
            self.open[self._next] = []
            self._next += 1
        self._position += 1
        for numbers in self.open.values():
            numbers.append(number)
        return [(clip, len(numbers) - 1) for clip, numbers in self.open.items()]

    def take_complete(self) -> dict[int, list[int]]:
        """The clips that the last frame completed: clip → numbers of its frames in the source."""
        complete = [clip for clip, numbers in self.open.items() if len(numbers) == self._cutting.clip_length]
        return {clip: self.open.pop(clip) for clip in complete}

    def end_scene(self) -> list[int]:
        """The next frame does not follow on the last. Returns the clips that this leaves incomplete."""
        given_up = list(self.open)
        self.open.clear()
        if self._cutting.starts is None:
            self._next -= len(given_up)  # those that started last: all others were complete before them
        self._position = 0
        return given_up

    @property
    def over(self) -> bool:
        """Whether no clip holds any later frame."""
        most = self._cutting.most_clips
        return most is not None and self._next >= most and not self.open

    def _pass_over_starts_before(self, number: int) -> None:
        """A scene begins here: clips that were to start earlier are not made."""
        starts = self._cutting.starts or ()
        while self._next < len(starts) and starts[self._next] < number:
            self._next += 1

    def _starts_here(self, number: int) -> bool:
        cutting = self._cutting
        if cutting.most_clips is not None and self._next >= cutting.most_clips:
            return False
        if cutting.starts is None:
            return self._position % cutting.stride == 0
        return number >= cutting.starts[self._next]  # later where frames are left out
