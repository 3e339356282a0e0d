"""Everything that BasicSR 1.4.2 needs to run unmodified on torch 2.3 … current, with or without CUDA.

One small function per workaround; each says why it exists and when it may go, and does nothing where it is not needed.
``apply()`` runs them all; ``import basicsr_ssm`` calls it, so a BasicSR script of one's own needs nothing else.
"""

import glob
import importlib
import importlib.util
import logging
import os
import re
import sys
import types
from functools import total_ordering, wraps

import torch

_keep = []  # torch.library.Library objects take their operators with them when they are collected
_applied = False


def apply():
    """Run every workaround, in order. Calling it again costs nothing."""
    global _applied
    if _applied:
        return
    _applied = True
    # before BasicSR is imported: its import fails without these
    define_torchvision_schemas()
    import_torchvision_without_dynamo()
    alias_functional_tensor()
    provide_distutils()
    # BasicSR itself
    load_weights_only()
    say_how_grids_are_indexed()
    start_distributed()
    wrap_ddp_on_cpu()
    accept_any_test_set_name()
    load_any_flow_network()
    align_basicvsrpp_anywhere()
    deform_without_torchvision()
    validate_anywhere()
    resume_anywhere()
    load_resumably()
    raise_from_prefetcher()
    record_losses()
    drop_untrue_warnings()


# ---------------------------------------------------------------- needed to import BasicSR at all


def define_torchvision_schemas():
    """Declare ``torchvision::nms`` and ``qnms`` when torchvision's compiled operators do not load.

    A torchvision built for another torch (a CUDA wheel beside a CPU torch, say) cannot load its library, and then dies
    on import because it registers shape functions for operators that nobody declared. BasicSR needs torchvision's
    Python parts only. May go when torchvision guards those two registrations as it does its others.
    """
    spec = importlib.util.find_spec('torchvision')
    if spec is None or 'torchvision' in sys.modules:
        return
    libraries = [p for folder in spec.submodule_search_locations for p in glob.glob(os.path.join(folder, '_C*.so'))]
    for library in libraries:
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return
    schemas = torch.library.Library('torchvision', 'FRAGMENT')
    for name in ('nms', 'qnms'):
        if not hasattr(torch.ops.torchvision, name):
            schemas.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    _keep.append(schemas)


class _PostponedDynamo(types.ModuleType):
    """``torch._dynamo.utils``, which is imported when anything of it is asked for but the one name below."""

    @staticmethod
    def is_compile_supported(device_type):
        return importlib.import_module('torch._dynamo.utils').is_compile_supported(device_type)

    def __getattr__(self, name):
        if name.startswith('__'):  # `inspect` asks every module for its file
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def import_torchvision_without_dynamo():
    """Import torchvision without all that ``torch.compile`` needs, a third of the time that every command starts in.

    ``torchvision.ops.roi_align`` takes one function from ``torch._dynamo.utils``. May go when it does so where it calls
    that.
    """
    name = 'torch._dynamo.utils'
    if name in sys.modules or importlib.util.find_spec('torchvision') is None:
        return
    postponed = sys.modules[name] = _PostponedDynamo(name)
    try:
        importlib.import_module('torchvision')
    finally:
        if sys.modules.get(name) is postponed:
            del sys.modules[name]


def alias_functional_tensor():
    """Give ``torchvision.transforms.functional_tensor`` back, which torchvision 0.17 made private.

    ``basicsr.data.degradations`` imports ``rgb_to_grayscale`` from it. May go when BasicSR does not.
    """
    old = 'torchvision.transforms.functional_tensor'
    if old not in sys.modules and importlib.util.find_spec(old) is None:
        sys.modules[old] = importlib.import_module('torchvision.transforms._functional_tensor')


def provide_distutils():
    """Stand in for ``distutils.version.LooseVersion`` where Python 3.12 has no distutils and setuptools no shim.

    ``basicsr.archs.arch_util`` compares torchvision's version with it. May go when BasicSR does not.
    """
    if importlib.util.find_spec('distutils') is not None:
        return

    @total_ordering
    class LooseVersion:
        def __init__(self, text):
            self.version = [int(number) for number in re.findall(r'\d+', text.split('+')[0])]

        def __eq__(self, other):
            return self.version == other.version

        def __lt__(self, other):
            return self.version < other.version

    package, module = types.ModuleType('distutils'), types.ModuleType('distutils.version')
    module.LooseVersion = LooseVersion
    package.version = module
    sys.modules.update({'distutils': package, 'distutils.version': module})


# ---------------------------------------------------------------- BasicSR on any device and any torch


class _WeightsOnlyTorch(types.ModuleType):
    """``torch``, except that ``load`` reads tensors and plain containers only."""

    def __getattr__(self, name):
        return getattr(torch, name)

    @staticmethod
    def load(*args, **kwargs):
        kwargs.setdefault('weights_only', True)
        return torch.load(*args, **kwargs)


def load_weights_only():
    """Let BasicSR's ``torch.load`` calls refuse to run pickled code.

    That is torch's default from 2.6 on. May go when torch 2.6 is the oldest supported.
    """
    if tuple(int(n) for n in torch.__version__.split('.')[:2]) >= (2, 6):
        return
    safe = _WeightsOnlyTorch('torch')
    for name in (
        'models.base_model',
        'archs.inception',
        'archs.spynet_arch',
        'archs.basicvsr_arch',
        'archs.dfdnet_arch',
        'archs.vgg_arch',
        'archs.tof_arch',
    ):
        importlib.import_module(f'basicsr.{name}').torch = safe


class _IndexingTorch(types.ModuleType):
    """``torch``, except that ``meshgrid`` indexes rows first without being asked."""

    def __getattr__(self, name):
        return getattr(torch, name)

    @staticmethod
    def meshgrid(*tensors, indexing='ij'):
        return torch.meshgrid(*tensors, indexing=indexing)


def say_how_grids_are_indexed():
    """Pass ``indexing='ij'``, today's default, to ``torch.meshgrid`` for BasicSR.

    torch warns that it will be required, at the first frame of every run. May go when ``basicsr.archs.arch_util`` and
    ``basicsr.archs.swinir_arch`` pass it.
    """
    indexing = _IndexingTorch('torch')
    for name in ('arch_util', 'swinir_arch'):
        importlib.import_module(f'basicsr.archs.{name}').torch = indexing


def start_distributed():
    """Let ``--launcher pytorch|slurm`` start without CUDA, through gloo, and with today's torchrun and SLURM.

    BasicSR always picks a CUDA device and NCCL, by the global rank, and needs ``scontrol``. May go when
    ``basicsr.utils.dist_util.init_dist`` asks first, and goes by LOCAL_RANK.
    """
    from basicsr.utils import dist_util, options

    from basicsr_ssm.launchers import init_dist

    dist_util.init_dist = options.init_dist = init_dist


def wrap_ddp_on_cpu():
    """Wrap a CPU network in DistributedDataParallel without a CUDA device number.

    BasicSR always passes ``torch.cuda.current_device()``. May go when ``BaseModel.model_to_device`` asks
    what its device is.
    """
    from basicsr.models.base_model import BaseModel

    from basicsr_ssm.models.parallel import distribute

    on_cuda = BaseModel.model_to_device

    @wraps(on_cuda)
    def model_to_device(self, net):
        if not self.opt['dist'] or self.device.type == 'cuda':
            return on_cuda(self, net)
        return distribute(net, self.device, self.opt)

    BaseModel.model_to_device = model_to_device


# ---------------------------------------------------------------- networks


def load_any_flow_network():
    """Let networks of BasicSR start from any file that holds a flow network, as this package's do.

    Their ``SpyNet`` takes a file without the mean and deviation of its input only, and no checkpoint that has one
    inside; all else ends in a traceback. May go when ``SpyNet.__init__`` takes its own ``state_dict()``.
    """
    from basicsr.archs.spynet_arch import SpyNet

    from basicsr_ssm.checkpoints import load_spynet

    as_initialised = SpyNet.__init__

    @wraps(as_initialised)
    def init(self, load_path=None):
        as_initialised(self)
        if load_path:
            load_spynet(self, load_path)

    SpyNet.__init__ = init


def align_basicvsrpp_anywhere():
    """Build ``BasicVSRPlusPlus`` with its deformable alignment where there is no CUDA device, too.

    BasicSR leaves it out there and says nothing: another network, whose checkpoints do not fit. May go when it asks
    for no device.
    """
    from unittest import mock

    from basicsr.archs.basicvsrpp_arch import BasicVSRPlusPlus

    with_cuda = BasicVSRPlusPlus.__init__

    @wraps(with_cuda)
    def init(self, *args, **kwargs):
        with mock.patch.object(torch.cuda, 'is_available', lambda: True):
            with_cuda(self, *args, **kwargs)

    BasicVSRPlusPlus.__init__ = init


def deform_without_torchvision():
    """Give ``torchvision.ops.deform_conv2d``, which BasicVSRPlusPlus and EDVR call, where its kernel does not load.

    May go with ``define_torchvision_schemas``.
    """
    import torchvision

    from basicsr_ssm.ops.as_torchvision import deform_conv2d_as_torchvision

    if not hasattr(torch.ops.torchvision, 'deform_conv2d'):
        torchvision.ops.deform_conv2d = deform_conv2d_as_torchvision


# ---------------------------------------------------------------- validation


def accept_any_test_set_name():
    """Let BasicSR's ``VideoTestDataset`` and its children read a data set of any name.

    They read any folder of folders of frames, but only under the names Vid4, REDS4 and REDSofficial. May go when
    ``VideoTestDataset.__init__`` stops looking at the name.
    """
    from basicsr.data.video_test_dataset import VideoTestDataset

    by_name = VideoTestDataset.__init__

    @wraps(by_name)
    def init(self, opt):
        by_name(self, {**opt, 'name': 'Vid4'})
        self.opt = opt

    VideoTestDataset.__init__ = init


def validate_anywhere():
    """Give BasicSR's video models a validation that runs on any device and with any number of data sets.

    Theirs puts the results on 'cuda', keeps the first data set's clips for all others, squeezes cached CPU clips in
    place while the network still holds them, and refuses to save images during training. May go when BasicSR's
    ``VideoBaseModel`` and ``VideoRecurrentModel`` do none of this.
    """
    from basicsr.models.video_base_model import VideoBaseModel
    from basicsr.models.video_recurrent_model import VideoRecurrentModel

    from basicsr_ssm.models.validation import validate

    VideoBaseModel.dist_validation = VideoRecurrentModel.dist_validation = validate
    VideoBaseModel.nondist_validation = validate


# ---------------------------------------------------------------- training


def resume_anywhere():
    """Resume on any device, from the option file's folder, and from the newest checkpoint that is whole.

    BasicSR's loader needs CUDA, looks for ``--auto_resume`` in ./experiments whatever the option file says, takes a
    half-written file for the newest, and unpickles code. May go when ``basicsr.train.load_resume_state`` does none of
    this.
    """
    from basicsr_ssm.models.resume import load_resume_state

    sys.modules['basicsr.train'].load_resume_state = load_resume_state


def load_resumably():
    """Build training loaders that can start in the middle of an epoch, and count epochs as they really are.

    BasicSR restarts the epoch it was interrupted in, ends early where a last incomplete batch is dropped, and loops for
    ever when the data set is smaller than a batch. May go when ``basicsr.train.create_train_val_dataloader`` does not.
    """
    from basicsr_ssm.data.loaders import create_train_val_dataloader

    sys.modules['basicsr.train'].create_train_val_dataloader = create_train_val_dataloader


def raise_from_prefetcher():
    """Pass an error on from the thread of ``prefetch_mode: cpu``.

    There it ends the thread without a word, and the training waits for ever. May go when BasicSR's
    ``PrefetchGenerator`` passes it on.
    """
    from basicsr.data.prefetch_dataloader import PrefetchGenerator

    get_next = PrefetchGenerator.__next__

    def run(self):
        self.error = None
        try:
            for item in self.generator:
                self.queue.put(item)
        except Exception as error:
            self.error = error
        self.queue.put(None)

    @wraps(get_next)
    def next_or_raise(self):
        try:
            return get_next(self)
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    PrefetchGenerator.run, PrefetchGenerator.__next__ = run, next_or_raise


def record_losses():
    """Append what the loop logs to losses.jsonl, for the training curves.

    BasicSR keeps losses as text, and in TensorBoard's binary files. May go when its ``MessageLogger`` writes numbers.
    """
    from basicsr_ssm.models.loss_record import RecordingLogger

    sys.modules['basicsr.train'].MessageLogger = RecordingLogger


def drop_untrue_warnings():
    """Keep two BasicSR warnings, untrue after ``validate_anywhere``, out of the log. Goes with that function."""
    untrue = ('Multiple validation datasets are *only* supported', 'nondist_validation is not implemented')
    logging.getLogger('basicsr').addFilter(lambda record: not record.getMessage().startswith(untrue))
