"""Option files as BasicSR publishes them are not refused."""

import pytest
from tiny_training import options

from basicsr_ssm.options import check_options

LOADED = {'use_shuffle': True, 'num_worker_per_gpu': 6, 'batch_size_per_gpu': 4, 'dataset_enlarge_ratio': 200}
LOADED.update(prefetch_mode=None, io_backend={'type': 'disk'}, dataroot_gt='GT', dataroot_lq='LQ')
TESTED = {'dataroot_gt': 'GT', 'dataroot_lq': 'LQ', 'io_backend': {'type': 'disk'}}
FRAMES = {'meta_info_file': 'x.txt', 'val_partition': 'REDS4', 'num_frame': 5, 'gt_size': 256, 'interval_list': [1]}
FRAMES.update(LOADED, random_reverse=False, use_hflip=True, use_rot=True)
ADAM = {'type': 'Adam', 'lr': 1e-4, 'weight_decay': 0, 'betas': [0.9, 0.99]}
STEPS = {'type': 'MultiStepLR', 'milestones': [50000, 100000], 'gamma': 0.5}
GENERAL = {
    'scale': 4,
    'num_gpu': 8,
    'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
    'val': {
        'val_freq': 5e3,
        'save_img': False,
        'metrics': {
            'psnr': {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': True},
            'niqe': {'type': 'calculate_niqe', 'crop_border': 4, 'better': 'lower'},
        },
    },
    'logger': {
        'print_freq': 100,
        'save_checkpoint_freq': 5e3,
        'use_tb_logger': True,
        'wandb': {'project': None, 'resume_id': None},
    },
    'dist_params': {'backend': 'nccl', 'port': 29500},
    'find_unused_parameters': True,
}
OF_IMAGES = {
    'model_type': 'SRModel',
    'datasets': {
        'train': {'name': 'DIV2K', 'type': 'PairedImageDataset', 'filename_tmpl': '{}', 'gt_size': 96, **LOADED},
        'val': {'name': 'Set5', 'type': 'PairedImageDataset', **TESTED},
        'val_2': {'name': 'Set14', 'type': 'PairedImageDataset', **TESTED},
    },
    'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'img_range': 255.0, 'rgb_mean': [0.4, 0.4, 0.4]},
    'train:scheduler': STEPS,
}
SLIDING = {
    'model_type': 'EDVRModel',
    'datasets': {
        'train': {'name': 'REDS', 'type': 'REDSDataset', **FRAMES, 'prefetch_mode': 'cuda', 'pin_memory': True},
        'val': {'name': 'REDS4', 'type': 'VideoTestDataset', 'cache_data': False, 'padding': 'reflection', **TESTED},
    },
    'network_g': {'type': 'EDVR', 'num_frame': 5, 'center_frame_idx': None, 'with_tsa': True},
    'train:tsa_iter': 50000,
    'train:dcn_lr_mul': 1,
    'train:scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [5, 5], 'restart_weights': [1, 0.5]},
}
RECURRENT_GAN = {
    'model_type': 'VideoRecurrentGANModel',
    'datasets': {
        'train': {'name': 'REDS', 'type': 'REDSRecurrentDataset', 'dataroot_flow': None, 'test_mode': False, **FRAMES},
        'val': {'name': 'x', 'type': 'VideoRecurrentTestDataset', 'cache_data': True, 'num_frame': -1, **TESTED},
    },
    'network_g': {'type': 'BasicVSR', 'num_feat': 64, 'num_block': 30, 'spynet_path': 'spynet.pth'},
    'network_d': {'type': 'VGGStyleDiscriminator', 'num_in_ch': 3, 'num_feat': 32, 'input_size': 256},
    'train': {
        'total_iter': 400000,
        'warmup_iter': -1,
        'ema_decay': 0.999,
        'optim_g': ADAM,
        'lr_flow': 0.0,
        'fix_flow': None,
        'optim_d': ADAM,
        'scheduler': STEPS,
        'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1e-2, 'reduction': 'mean'},
        'perceptual_opt': {
            'type': 'PerceptualLoss',
            'layer_weights': {'conv5_4': 1},
            'vgg_type': 'vgg19',
            'use_input_norm': True,
            'range_norm': False,
            'perceptual_weight': 1.0,
            'style_weight': 0,
            'criterion': 'l1',
        },
        'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1.0, 'fake_label_val': 0.0},
        'net_d_iters': 1,
        'net_d_init_iters': 0,
    },
}
OF_FACES = {
    'model_type': 'StyleGAN2Model',
    'datasets': {'train': {'name': 'FFHQ', 'type': 'FFHQDataset', 'mean': [0.5], 'std': [0.5], **LOADED}},
    'network_g': {'type': 'StyleGAN2Generator', 'out_size': 256, 'resample_kernel': [1, 3, 3, 1], 'lr_mlp': 0.01},
    'network_d': {'type': 'StyleGAN2Discriminator', 'out_size': 256, 'channel_multiplier': 2},
    'train:optim_d': {'type': 'Adam', 'lr': 2e-3},
    'train:gan_opt': {'type': 'GANLoss', 'gan_type': 'wgan_softplus', 'loss_weight': 1.0},
    'train:r1_reg_weight': 10,
    'train:mixing_prob': 0.9,
}


@pytest.mark.parametrize('changes', [OF_IMAGES, SLIDING, RECURRENT_GAN, OF_FACES], ids=lambda own: own['model_type'])
def test_training(changes):
    check_options(options(**GENERAL, **changes), is_train=True)


def test_tests():
    tested = {**TESTED, 'cache_data': False, 'num_frame': 7, 'padding': 'reflection_circle'}
    data_sets = {
        'test_1': {'name': 'Vid4', 'type': 'VideoTestDUFDataset', 'use_duf_downsampling': True, **tested},
        'test_2': {'name': 'Vid4_BI', 'type': 'VideoTestDUFDataset', 'use_duf_downsampling': False, **tested},
    }
    network = {'type': 'DUF', 'scale': 4, 'num_layer': 52, 'adapt_official_weights': True}
    changes = {'model_type': 'VideoBaseModel', 'datasets': data_sets, 'network_g': network, 'train': None}
    check_options(options(**GENERAL, **changes), is_train=False)
