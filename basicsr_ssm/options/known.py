"""The options there are, by section. What a registered class takes is read from its signature instead."""

from __future__ import annotations

from basicsr_ssm.options.kinds import (
    Kind,
    anything,
    count,
    distances,
    flag,
    gpus,
    integer,
    limit,
    number,
    one_of,
    optional,
    positive,
    section,
    sections,
    seed,
    share,
    text,
)

AMP = optional(one_of('bf16', 'fp16'))

GENERAL = {
    'name': text,
    'model_type': text,
    'scale': positive,
    'num_gpu': gpus,
    'manual_seed': optional(seed),
    'datasets': section,
    'path': section,
    'train': section,
    'val': optional(section),
    'logger': section,
    'dist_params': section,
    'find_unused_parameters': flag,
}
# of VideoSSMModel alone
GENERAL_OURS = {'static_graph': optional(flag)}

PATH = {
    'resume_state': optional(text),
    'ignore_resume_networks': anything,
    'experiments_root': optional(text),
    'results_root': optional(text),
}
_PATH_OF_NETWORK = {'pretrain_network': optional(text), 'strict_load': flag, 'param_key': optional(text)}

TRAIN = {
    'total_iter': positive,
    'warmup_iter': integer,
    'ema_decay': share,
    'optim_g': section,
    'scheduler': section,
    'fix_flow': optional(integer),
    'flow_lr_mul': number,
    'pixel_opt': optional(section),
    'perceptual_opt': optional(section),
}
# of models with a discriminator, network_d
TRAIN_GAN = {'gan_opt': optional(section), 'optim_d': section, 'net_d_iters': positive, 'net_d_init_iters': count}
# of BasicSR's other video models
TRAIN_OTHER = {'tsa_iter': optional(integer), 'dcn_lr_mul': number, 'lr_flow': number, **TRAIN_GAN}
# of VideoSSMModel alone
TRAIN_OURS = {
    'amp': AMP,
    'accumulate': optional(positive),
    'grad_clip': optional(limit),
    'cuda_graph': flag,
    'extra_losses': optional(sections),
}

VAL = {
    'val_freq': positive,
    'save_img': flag,
    'suffix': optional(text),
    'pbar': flag,
    'metrics': optional(section),
    'flip_seq': flag,
    'center_frame_only': flag,
}
VAL_OURS = {
    'use_ema': flag,
    'amp': AMP,
    'segment': optional(positive),
    'overlap': optional(count),
    'tile': optional(count),
}

LOGGER = {'print_freq': positive, 'save_checkpoint_freq': positive, 'use_tb_logger': flag, 'wandb': optional(section)}
WANDB = {'project': optional(text), 'resume_id': optional(text)}
DIST_PARAMS = {'backend': text, 'port': integer}

# what BasicSR's loader reads from every data set
LOADER = {
    'name': text,
    'type': text,
    'scale': positive,
    'num_worker_per_gpu': count,
    'batch_size_per_gpu': positive,
    'dataset_enlarge_ratio': limit,
    'prefetch_mode': optional(one_of('cpu', 'cuda')),
    'num_prefetch_queue': positive,
    'pin_memory': flag,
    'persistent_workers': flag,
}
_CLIPS = {
    'dataroot_gt': optional(text),
    'dataroot_lq': text,
    'meta_info_file': optional(text),
    'io_backend': section,
}
_PATCHES = {
    'num_frame': positive,
    'gt_size': positive,
    'interval_list': distances,
    'random_reverse': flag,
    'use_hflip': flag,
    'use_rot': flag,
}
_BASICSR_TRAIN = {
    **_CLIPS,
    **_PATCHES,
    'dataroot_flow': optional(text),
    'val_partition': text,
    'test_mode': flag,
    'flip_sequence': flag,
    'use_shuffle': flag,
    'seed': integer,
}
_BASICSR_TEST = {
    **_CLIPS,
    'num_frame': integer,
    'cache_data': flag,
    'padding': text,
    'use_duf_downsampling': flag,
}
# A data set that is not here is not checked key by key.
DATASETS = {
    'MedicalClipDataset': {
        **_CLIPS,
        **_PATCHES,
        'flip_sequence': flag,
        'short_clips': one_of('error', 'skip'),
        'seed': integer,
        'degradation': optional(section),
    },
    'MedicalClipTestDataset': {**_CLIPS, 'mask': optional(text)},
    'REDSDataset': _BASICSR_TRAIN,
    'REDSRecurrentDataset': _BASICSR_TRAIN,
    'Vimeo90KDataset': _BASICSR_TRAIN,
    'Vimeo90KRecurrentDataset': _BASICSR_TRAIN,
    'VideoTestDataset': _BASICSR_TEST,
    'VideoTestVimeo90KDataset': _BASICSR_TEST,
    'VideoTestDUFDataset': _BASICSR_TEST,
    'VideoRecurrentTestDataset': _BASICSR_TEST,
}

# BasicSR's metrics of tensors; validation measures images.
METRICS_OF_TENSORS = ('calculate_psnr_pt', 'calculate_ssim_pt')

# Keys and types of the MedVSR authors' option files, which this package or BasicSR does not have.
INSTEAD_OF_KEY = {
    'use_static_graph': 'remove it: fix_flow works with distributed training as it is',
    'train.use_static_graph': 'remove it: fix_flow works with distributed training as it is',
    'train.find_unused_parameters': 'it is a general option: write it without indentation, though fix_flow needs none',
    'logger.checkpoint_save_start_iter': 'remove it: logger.save_checkpoint_freq alone decides what is saved',
    'datasets.*.val_partition': 'remove it: put training and validation clips in folders of their own, '
    'as `basicsr-ssm prepare` does, or list clips in meta_info_file',
    'datasets.*.test_mode': 'remove it: MedicalClipTestDataset is for tests',
    'datasets.*.use_shuffle': 'remove it: training clips are always shuffled',
    'datasets.*.cache_data': 'remove it: clips are read when they are needed',
    'datasets.*.num_frame': 'remove it: test clips are taken whole',
    'datasets.*.padding': 'remove it: test clips are taken whole',
}
# … and the metrics of tensors
INSTEAD_OF_TYPE = {
    'HKRecurrentDataset': 'MedicalClipDataset',
    'HKRecurrentTestDataset': 'MedicalClipTestDataset',
    'HKTestDataset': 'MedicalClipTestDataset',
    'calculate_psnr_pt': 'calculate_psnr: what is measured are images, not tensors',
    'calculate_ssim_pt': 'calculate_ssim: what is measured are images, not tensors',
}


def starting_with(options: dict, prefix: str) -> list[str]:
    """The keys in ``options``, where a file may also have numbers, that start so."""
    return [key for key in options if isinstance(key, str) and key.startswith(prefix)]


def path_of_networks(networks: list[str]) -> dict[str, Kind]:
    """For each network_x: pretrain_network_x, strict_load_x, param_key_x."""
    names = [network.removeprefix('network_') for network in networks]
    return {f'{key}_{name}': kind for name in names for key, kind in _PATH_OF_NETWORK.items()}
