"""Datasets for BasicSR's loop; importing this package registers them."""

from basicsr_ssm.data.medical_clip_dataset import MedicalClipDataset
from basicsr_ssm.data.medical_clip_test_dataset import MedicalClipTestDataset

__all__ = ['MedicalClipDataset', 'MedicalClipTestDataset']
