"""What a spot makes of a raster: dose, response of the material, a preview, and dithering that knows both."""

from kerf_optimizer.domain.burn_model.dither import burn_dither
from kerf_optimizer.domain.burn_model.model import BurnModel, Spot
from kerf_optimizer.domain.burn_model.preview import burn_preview, burnt_tone

__all__ = ["BurnModel", "Spot", "burn_dither", "burn_preview", "burnt_tone"]
