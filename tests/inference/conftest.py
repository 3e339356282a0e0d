import argparse

import pytest
import torch

from basicsr_ssm.inference import upscale_command


class Enlarge(torch.nn.Module):
    """Repeats every pixel; remembers how many frames it got each time."""

    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        self.calls = []

    def forward(self, lq):
        self.calls.append(lq.shape[1])
        return lq.repeat_interleave(self.scale, 3).repeat_interleave(self.scale, 4)


class Recurrent(Enlarge):
    """Adds to each frame what came before and what comes after, as a bidirectional recurrent network does."""

    def forward(self, lq):
        past = torch.zeros_like(lq)
        for i in range(1, lq.shape[1]):
            past[:, i] = 0.5 * (past[:, i - 1] + lq[:, i - 1])
        future = torch.zeros_like(lq)
        for i in range(lq.shape[1] - 2, -1, -1):
            future[:, i] = 0.5 * (future[:, i + 1] + lq[:, i + 1])
        return super().forward((lq + past + future) / 3)


@pytest.fixture
def enlarge():
    return Enlarge()


@pytest.fixture
def recurrent():
    return Recurrent()


@pytest.fixture
def upscale(monkeypatch):
    """Run the command's own parser and function, with a given network in the place of a checkpoint's."""

    def run(*words, net=None):
        if net is not None:
            monkeypatch.setattr(upscale_command, 'build_from_checkpoint', lambda path, options: (net, 'stand-in'))
            words = (*words, '--model', 'none.pth')
        parser = argparse.ArgumentParser()
        upscale_command.add_arguments(parser)
        return upscale_command.run(parser.parse_args([str(word) for word in (*words, '--device', 'cpu')]))

    return run
