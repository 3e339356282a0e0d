"""CUDA graphs of training steps where there is no GPU."""

from torch import enable_grad, nn
from torch.autograd import Function, grad


def make_graphed_callables(net: nn.Module, args: tuple, allow_unused_input: bool) -> None:
    """In the place of PyTorch's: gradients lie in the same memory after each backward pass, as those of a graph do."""
    plain, parameters = net.forward, [p for p in net.parameters() if p.requires_grad]
    kept = [p.detach().clone() for p in parameters]

    class Replayed(Function):
        @staticmethod
        def forward(ctx, clip, *parameters):
            with enable_grad():
                ctx.result = plain(clip)
            return ctx.result.detach()

        @staticmethod
        def backward(ctx, slope):
            found = grad(ctx.result, parameters, slope, allow_unused=allow_unused_input)
            for place, value in zip(kept, found, strict=True):
                if value is not None:
                    place.copy_(value)
            used = (None if value is None else place.detach() for place, value in zip(kept, found, strict=True))
            return None, *used

    net.forward = lambda clip: Replayed.apply(clip, *parameters)
