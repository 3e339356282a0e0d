"""Models for BasicSR's loop; importing this package registers them."""

from basicsr_ssm.models.video_ssm_model import VideoSSMModel

__all__ = ['VideoSSMModel']
