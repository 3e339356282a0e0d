"""Networks. Importing this package registers every ``*_arch`` module in BasicSR's ARCH_REGISTRY."""

from basicsr_ssm.archs.fourier_discriminator_arch import FourierDiscriminator
from basicsr_ssm.archs.medvsr_arch import MedVSR
from basicsr_ssm.archs.vsrm_arch import VSRM

__all__ = ['FourierDiscriminator', 'VSRM', 'MedVSR']
