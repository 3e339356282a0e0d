"""What a table or figure of a paper is made of: rows, and what each row takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        key: its key in the published figures.
        title: its head.
        part, figure: where ours comes from: a test or measurement of the row, and the figure's name there; 'radius/90%'
            is '90%' inside of 'radius'.
        unit: what ours is divided by.
        digits: after the point.
    """

    key: str
    title: str
    part: str
    figure: str
    unit: float = 1
    digits: int = 2


@dataclass(frozen=True)
class Trained:
    """A network that is trained, then tested.

    Attributes:
        tests: name → test option file below options/. It is run with the network and the weights of the training.
        train: train option file below options/; None for what is only tested, with weights that the user has.
        changes: of the train option file: {'network_g:propagation': 'forward'}.
        network: network_g in place of the option file's.
        name: of the training where it is not that of its option file.
        test_changes: of the test option files.
        before: train option files whose weights this training begins with, as its own file says.
    """

    tests: Mapping[str, str]
    train: str | None = None
    changes: Mapping[str, object] = field(default_factory=dict)
    network: Mapping[str, object] | None = None
    test_changes: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A measurement of a network (see tables/measurements) or, with `data`, of a data set's optical flow.

    Attributes:
        settings: of the measurement.
        data: folder of the data set.
        weights: whether it is of a trained network: with those given for the row, else as initialised.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    data: str | None = None
    weights: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        id: names files and is what --row takes.
        title: the row's name, as the paper has it.
        trained: whole trainings and tests.
        measured: name of a measurement → what of.
        network: network_g of the measurements; None: that of the first training.
        published: its row of the published figures; default: the one of this title.
        at: series and x of a point in a figure.
    """

    id: str
    title: str
    trained: tuple[Trained, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)
    network: Mapping[str, object] | None = None
    published: str | None = None
    at: tuple[str, float] | None = None

    def parts(self) -> list[str]:
        """Names of its tests and measurements: what a result is stored by."""
        return [*self.measured, *(test for trained in self.trained for test in trained.tests)]


@dataclass(frozen=True)
class Entry:
    """A table or figure.

    Attributes:
        name: what the command line calls it; its published figures are in published/<name>.yml.
        plot: 'lines' over the rows' x, 'bars' of the first metric, or 'fields', the maps of receptive fields.
        plot_axis: title of the x axis of lines.
        note: of what is to be known beside the figures.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    plot: str | None = None
    plot_axis: str = ''
    note: str = ''

    def __post_init__(self):
        ids = [row.id for row in self.rows]
        assert len(set(ids)) == len(ids), f'{self.name}: two rows of one name'
