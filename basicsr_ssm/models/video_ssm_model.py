"""The model that BasicSR's loop trains and tests: recurrent video super-resolution with exact resumption."""

from __future__ import annotations

import contextlib
import math
import warnings
from functools import partial
from pathlib import Path

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.models.video_recurrent_model import VideoRecurrentModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY
from torch import distributed, nn

from basicsr_ssm import checkpoints
from basicsr_ssm.archs.recognition import differing_settings
from basicsr_ssm.errors import UserError
from basicsr_ssm.losses.checks import check_takes_target
from basicsr_ssm.models import weight_average
from basicsr_ssm.models.adversary import Adversary
from basicsr_ssm.models.finite_check import FiniteCheck
from basicsr_ssm.models.parallel import alone, average_gradients, copy_from_first, distribute, has_static_graph
from basicsr_ssm.models.resume import plain, random_state, restore_random_state, set_aside_newer
from basicsr_ssm.models.resumed_optimizers import resume_optimizers
from basicsr_ssm.models.saving import save_whole
from basicsr_ssm.models.training_graph import TrainingGraph
from basicsr_ssm.models.validation import begin_best, fold_history_into_best, validate
from basicsr_ssm.segments.tiles import in_tiles

AMP_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


@MODEL_REGISTRY.register()
class VideoSSMModel(VideoRecurrentModel):
    """BasicSR's VideoRecurrentModel with what long runs on one's own data need.

    Options beside VideoRecurrentModel's:
        static_graph: with several processes, whether all iterations use the same parameters of network_g. Default: yes
            for this package's networks, see `has_static_graph`.
        train.amp: ~ (float32), bf16 or fp16 autocast; fp16 scales the loss.
        train.accumulate: number of parts a batch is worked on in; ``batch_size_per_gpu`` is the size of one part, and
            an iteration is one optimizer step on all of them. The loss is the mean over the parts. Default: 1.
        train.grad_clip: largest norm of all gradients of a network together. Default: ~ (no limit).
        train.cuda_graph: capture the network's forward and backward pass as CUDA graphs, in the first iteration and at
            fix_flow, and replay them: two launches in place of thousands, for memory that the graphs keep. Several
            processes, one for each GPU, then average gradients after the backward pass. Default: false.
        train.extra_losses: list of ``{type: …, loss_weight: …}``, added to ``pixel_opt``; each a registered loss whose
            forward takes (output, target) of shape (n, t, c, h, w).
        network_d, train.gan_opt, train.optim_d: a discriminator of images (n, c, h, w), its GAN loss, whose generator
            side is added to ``pixel_opt``, and its optimizer, all as in BasicSR's GAN models; see `Adversary`.
        val.use_ema: validate with the EMA weights where there are any; in a test, prefer the file's ``params_ema``.
            (VideoRecurrentModel, unlike SRModel, always validates with the weights in training.) Default: true.
        val.amp: autocast in validation, as train.amp. Default: ~ (float32).
        val.segment, val.overlap: frames of a clip that are on the device at a time, and how many of them neighbouring
            segments share; see `basicsr_ssm.segments.chunks`. Default: ~ (whole clips), 2/5 of a segment.
        val.tile: largest side of what the network is given at once, LQ pixels; see `basicsr_ssm.segments.tiles`.
            Default: 0 (whole frames).

    The flow network (parameters with 'spynet' or 'edvr' in their name) is frozen in iterations 1 … fix_flow − 1.

    Raises:
        UserError: a loss or gradient is not finite; a checkpoint cannot be written; a batch that cannot be split.
        checkpoints.CheckpointError: a file that is not a checkpoint of this network.
    """

    dist_validation = nondist_validation = validate
    _initialize_best_metric_results = begin_best

    def __init__(self, opt: dict):
        self._use_ema = (opt.get('val') or {}).get('use_ema', True)
        if not opt['is_train']:
            opt['path'].setdefault('param_key_g', 'params_ema' if self._use_ema else 'params')
        super().__init__(opt)

    # ------------------------------------------------------------ set-up

    def model_to_device(self, net: nn.Module) -> nn.Module:
        if self.is_train:
            # a network may have frozen its flow network itself, because nothing uses it
            named = ((name, p) for name, p in net.named_parameters() if p.requires_grad)
            self._flow_parameters = [p for name, p in named if 'spynet' in name or 'edvr' in name]
            self._flow_fixed = self._flow_is_fixed(self.opt.get('first_iter', 0) + 1)
            self._freeze_flow(self._flow_fixed)
        if self._averages_gradients:
            net = net.to(self.device)
            copy_from_first(net)
            return net
        return self._wrap(net, static_graph=self.is_train and has_static_graph(net, self.opt))

    @property
    def _averages_gradients(self) -> bool:
        """Whether this is one of several processes whose network_g no DistributedDataParallel wraps."""
        return self.is_train and self.opt['dist'] and bool(self.opt['train'].get('cuda_graph'))

    def _wrap(self, net: nn.Module, static_graph: bool = False) -> nn.Module:
        if self.opt['dist']:
            return distribute(net, self.device, self.opt, static_graph)
        return super().model_to_device(net)

    def init_training_settings(self) -> None:
        train_opt = self.opt['train']
        self._accumulate = train_opt.get('accumulate') or 1
        self._max_norm = train_opt.get('grad_clip') or math.inf
        self._amp = train_opt.get('amp')
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._amp == 'fp16')
        self._finite = FiniteCheck(self._scaler)
        self._pending_random_state = None
        self._validated = {}
        self.adversary = None
        self.extra_losses = {}
        for number, loss_opt in enumerate(train_opt.get('extra_losses') or ()):
            loss = build_loss(loss_opt).to(self.device)
            check_takes_target(loss, f'train.extra_losses.{number}')
            name = f'l_{loss_opt["type"]}'
            self.extra_losses[name if name not in self.extra_losses else f'{name}_{number}'] = loss
        super().init_training_settings()
        self._graph = self._make_graph()
        if warning := weight_average.warning_of(train_opt, self.opt['path']):
            get_root_logger().warning(warning)
        if self._flow_fixed:
            get_root_logger().info(f'The flow network is fixed until iteration {train_opt["fix_flow"]}.')

    def setup_optimizers(self) -> None:
        super().setup_optimizers()
        if 'network_d' in self.opt:
            self.adversary = self._make_adversary()
            self.optimizers.append(self.adversary.optimizer)

    def _make_adversary(self) -> Adversary:
        train_opt, path = self.opt['train'], self.opt['path']
        net = self._wrap(build_network(self.opt['network_d']))
        self.print_network(net)
        if path.get('pretrain_network_d'):
            key = path.get('param_key_d', 'params')
            self.load_network(net, path['pretrain_network_d'], path.get('strict_load_d', True), key)
        optim = {**train_opt['optim_d']}
        optimizer = self.get_optimizer(optim.pop('type'), net.parameters(), **optim)
        return Adversary(net, self.get_bare_model(net), optimizer, train_opt, partial(self._autocast, self._amp))

    def _flow_is_fixed(self, current_iter: int) -> bool:
        return current_iter < (self.opt['train'].get('fix_flow') or 0)

    def _freeze_flow(self, fixed: bool) -> None:
        for parameter in self._flow_parameters:
            parameter.requires_grad_(not fixed)

    def _follow_flow_schedule(self, current_iter: int) -> None:
        # A function of the iteration alone, so that a run resumed anywhere does as the uninterrupted one.
        fixed = self._flow_is_fixed(current_iter)
        if fixed == self._flow_fixed:
            return
        self._flow_fixed = fixed
        get_root_logger().info(f'Iteration {current_iter}: the flow network is {"fixed" if fixed else "trained, too"}.')
        self._freeze_flow(fixed)
        if self._graph is not None:
            self._graph.forget()
        if self.opt['dist'] and not self._averages_gradients:
            # DistributedDataParallel waits for the gradients of the parameters that were trainable when it was made.
            net = self.net_g = self.get_bare_model(self.net_g)  # nothing holds the old one while the new one is made
            self.net_g = self._wrap(net, has_static_graph(net, self.opt))

    # ------------------------------------------------------------ training

    def feed_data(self, data: dict) -> None:
        """Takes {'lq': (n, t, c, h, w), 'gt': (n, t, c, s·h, s·w), 'key': n names}; 'gt' and 'key' may be missing."""
        if self.is_train and self._pending_random_state is not None:
            restore_random_state(self._pending_random_state)
            self._pending_random_state = None
        self.lq = data['lq'].to(self.device, non_blocking=True)
        if 'gt' in data:
            self.gt = data['gt'].to(self.device, non_blocking=True)
        self.keys = data.get('key', [])

    def optimize_parameters(self, current_iter: int) -> None:
        self._follow_flow_schedule(current_iter)
        generator = self.adversary is None or self.adversary.lets_generator_train(current_iter)
        trained = {'grad_norm': (self.net_g, self.optimizer_g)} if generator else {}
        if self.adversary is not None:
            trained['grad_norm_d'] = (self.adversary.net, self.adversary.optimizer)
        for _, optimizer in trained.values():
            optimizer.zero_grad()
        losses = self._accumulate_gradients(generator)
        norms = {}
        for name, (net, optimizer) in trained.items():
            self._scaler.unscale_(optimizer)
            norms[name] = nn.utils.clip_grad_norm_(net.parameters(), self._max_norm)
        stepping = self._finite.stepping(current_iter, losses, norms, (self.keys, self.lq, self.gt))
        for _, optimizer in trained.values():
            self._scaler.step(optimizer)
        self._scaler.update()
        self.log_dict = self.reduce_loss_dict(losses)
        self.log_dict.update({name: norm.item() for name, norm in norms.items()})
        if self.ema_decay > 0 and 'grad_norm' in stepping:
            self.model_ema(decay=self.ema_decay)

    def _accumulate_gradients(self, generator: bool) -> dict[str, torch.Tensor]:
        """Forward and backward on each part of the batch, of net_g only if it trains; returns the mean of each loss."""
        n, parts = len(self.lq), self._accumulate
        if n % parts:
            raise UserError(f'train.accumulate: a batch of {n} does not split into {parts} equal parts')
        total = {}
        for part, (lq, gt) in enumerate(zip(self.lq.split(n // parts), self.gt.split(n // parts), strict=True)):
            last = part == parts - 1
            with alone(self.net_g, unless=last), torch.set_grad_enabled(generator):
                self.output = self._run_net(lq)
                output = self.output.float()
                losses = self._losses(output, gt) if generator else {}
                if generator:
                    self._backward(sum(losses.values()))
                if self._graph is not None and part == 0 and not last:
                    self._graph.own_gradients()
            if self.adversary is not None:
                losses.update(self.adversary.backward(output.detach(), gt, self._backward, last))
            for name, loss in losses.items():
                total[name] = total.get(name, 0) + loss.detach() / parts
        if self._averages_gradients and generator:
            average_gradients(self.net_g.parameters())
        return total

    def _run_net(self, lq: torch.Tensor) -> torch.Tensor:
        if self._graph is not None:
            return self._graph(lq)
        with self._autocast(self._amp):
            return self.net_g(lq)

    def _make_graph(self) -> TrainingGraph | None:
        if not self.opt['train'].get('cuda_graph'):
            return None
        if self.device.type != 'cuda' or self.get_bare_model(self.net_g) is not self.net_g:
            raise UserError('train.cuda_graph: GPUs only, and one process for each of several (scripts/dist_train.sh)')
        return TrainingGraph(self.net_g, partial(self._autocast, self._amp))

    def _backward(self, loss: torch.Tensor) -> None:
        self._scaler.scale(loss / self._accumulate).backward()

    def _autocast(self, amp: str | None, cache_enabled: bool = True) -> contextlib.AbstractContextManager:
        enabled = amp is not None
        return torch.autocast(self.device.type, AMP_DTYPES.get(amp), enabled=enabled, cache_enabled=cache_enabled)

    def _losses(self, output: torch.Tensor, gt: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = {}
        if self.cri_pix:
            losses['l_pix'] = self.cri_pix(output, gt)
        for name, loss in self.extra_losses.items():
            losses[name] = loss(output, gt)
        if self.cri_perceptual:  # an image loss: frames become a batch
            perceptual, style = self.cri_perceptual(output.flatten(0, 1), gt.flatten(0, 1))
            losses.update({k: v for k, v in (('l_percep', perceptual), ('l_style', style)) if v is not None})
        if self.adversary is not None:
            losses['l_g_gan'] = self.adversary.generator_loss(output)
        return losses

    def model_ema(self, decay: float = 0.999) -> None:
        weight_average.follow(self.net_g_ema, self.get_bare_model(self.net_g), decay)

    # ------------------------------------------------------------ validation and test

    def validation(self, dataloader, current_iter: int | str, tb_logger, save_img: bool = False) -> None:
        if self.is_train:
            # BasicSR's loop counts one too many at its end, and then validates what it may just have validated.
            current_iter = min(current_iter, int(self.opt['train']['total_iter']))
            name = dataloader.dataset.opt['name']
            if self._validated.get(name) == current_iter:
                return
            self._validated[name] = current_iter
        super().validation(dataloader, current_iter, tb_logger, save_img)

    def test(self) -> None:
        """self.lq (n, t, c, h, w) → self.output (n, t, c, s·h, s·w), or one frame of it with val.center_frame_only."""
        val_opt = self.opt['val']
        net = self.get_bare_model(self.net_g)
        if self._use_ema and hasattr(self, 'net_g_ema'):
            net = self.net_g_ema
        n_frames = self.lq.size(1)
        flip_seq = val_opt.get('flip_seq', False)
        lq = torch.cat([self.lq, self.lq.flip(1)], dim=1) if flip_seq else self.lq
        was_training = net.training
        net.eval()
        with torch.no_grad(), self._autocast(val_opt.get('amp')):
            output = in_tiles(net, lq, val_opt.get('tile') or 0)
        net.train(was_training)
        if flip_seq:
            output = 0.5 * (output[:, :n_frames] + output[:, n_frames:].flip(1))
        self.output = output[:, n_frames // 2] if val_opt.get('center_frame_only', False) else output

    # ------------------------------------------------------------ checkpoints

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Takes ``param_key`` if the file has it, else what it has of params_ema, params and a bare state dict.

        Warns of settings in the file that are not those of the options.
        """
        net = self.get_bare_model(net)
        content = checkpoints.read(load_path)
        if param_key not in content:
            get_root_logger().info(f'{load_path} has no {param_key}; taking what weights it has.')
            param_key = None
        state = checkpoints.weights_in(content, load_path, param_key)
        if strict:
            checkpoints.load_into(net, state, load_path)
        else:
            self._print_different_keys_loading(net, state, strict=False)
            net.load_state_dict(state, strict=False)
        get_root_logger().info(f'{type(net).__name__} loaded from {load_path}.')
        if net is not getattr(self, 'net_g_ema', None):  # which is from the same file
            self._compare_settings(net, content, load_path)

    def _compare_settings(self, net: nn.Module, content: dict, load_path: str) -> None:
        for section in ('network_g', 'network_d'):  # the one that save_network has left there
            there, here = content.get(section), self.opt.get(section)
            if there and here and (settings := differing_settings(type(net), there, here)):
                different = ', '.join(f'{name} {one} (here {other})' for name, (one, other) in settings.items())
                get_root_logger().warning(f'{load_path} is of a {section} with other settings: {different}')

    def save(self, epoch: int, current_iter: int) -> None:
        """Weights first, then the training state: a state on disk has its weights. -1: weights only, as 'latest'."""
        self._random_states = [random_state()]
        if self.opt['dist']:
            self._random_states = [None] * self.opt['world_size']
            distributed.all_gather_object(self._random_states, random_state())
        if self.adversary is not None:
            self.save_network(self.adversary.net, 'net_d', current_iter)
        super().save(epoch, current_iter)

    @master_only
    def save_network(self, net, net_label: str, current_iter: int, param_key='params') -> None:
        nets, keys = (net, param_key) if isinstance(net, list) else ([net], [param_key])
        content = {
            key: {name: value.cpu() for name, value in self.get_bare_model(one).state_dict().items()}
            for one, key in zip(nets, keys, strict=True)
        }
        # the settings travel along, so that a checkpoint alone is enough to restore a video; BasicSR reads past them
        network = net_label.replace('net_', 'network_', 1)
        if network in self.opt:
            content[network] = {key: value for key, value in self.opt[network].items() if key != 'spynet_path'}
        name = f'{net_label}_{"latest" if current_iter == -1 else current_iter}.pth'
        save_whole(content, Path(self.opt['path']['models'], name))

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        if current_iter == -1:
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [optimizer.state_dict() for optimizer in self.optimizers],
            'schedulers': [plain(scheduler.state_dict()) for scheduler in self.schedulers],
            'warmup_iter': self.opt['train'].get('warmup_iter', -1),
            'scaler': self._scaler.state_dict(),
            'skipped_steps': self._finite.skipped_steps,
            'random_states': self._random_states,
            'manual_seed': self.opt['manual_seed'],
            'samples_per_iter': self._samples_per_iter(),
            'best_metric_results': getattr(self, 'best_metric_results', {}),
        }
        save_whole(state, Path(self.opt['path']['training_states'], f'{current_iter}.state'))

    def _samples_per_iter(self) -> int:
        return self.opt['datasets']['train']['batch_size_per_gpu'] * self._accumulate * self.opt['world_size']

    def resume_training(self, resume_state: dict) -> None:
        """Takes states of BasicSR's own models, too; those do not know where in the epoch they were, nor the RNG."""
        # The loop steps schedulers first, as ever; a fresh process only cannot know that the optimizer stepped before.
        warnings.filterwarnings('ignore', 'Detected call of `lr_scheduler.step')
        resume_optimizers(self, resume_state)
        set_aside_newer(self.opt, resume_state['iter'])
        if self._scaler.is_enabled() and resume_state.get('scaler'):
            self._scaler.load_state_dict(resume_state['scaler'])
        self._finite.skipped_steps = resume_state.get('skipped_steps', 0)
        self.best_metric_results = resume_state.get('best_metric_results', {})
        fold_history_into_best(self, resume_state['iter'])
        logger = get_root_logger()
        states = resume_state.get('random_states', [])
        if len(states) == self.opt['world_size']:
            self._pending_random_state = states[self.opt['rank']]
        else:
            logger.warning(f'The checkpoint is of {len(states)} processes: random numbers start anew.')
        if resume_state.get('samples_per_iter', self._samples_per_iter()) != self._samples_per_iter():
            logger.warning('The batch size is not the one of the checkpoint: samples will not follow where they ended.')
