"""Networks. Importing this package registers every ``*_arch`` module in BasicSR's ARCH_REGISTRY."""

from basicsr_ssm.archs.medvsr_arch import MedVSR

__all__ = ['MedVSR']
