"""The attention analysis of the SKNet paper (section 4.4), with controls: do larger objects get larger kernels?

study_attention     everything: measure a network, compare the views, collect the report
measure_attention   the values of each unit, view and image
paired_effects      the statistics
write_report        a page of HTML, the figures, the numbers
"""

from .measure import Measurement, Unit, channel_values, measure_attention, selective_units
from .report import AttentionReport, check_folder, write_report
from .statistics import AreaEffect, Comparison, Effect, area_effects, comparisons_of, effects_of, paired_effects
from .study import Views, study_attention, views_of_data, views_of_files
from .views import Condition, ImageFiles, ImageStrips, StripView, box_areas, conditions_for

__all__ = ["AreaEffect", "AttentionReport", "Comparison", "Condition", "Effect", "ImageFiles", "ImageStrips"]
__all__ += ["Measurement", "StripView", "Unit", "Views", "area_effects", "box_areas", "channel_values"]
__all__ += ["check_folder", "comparisons_of", "conditions_for", "effects_of", "measure_attention", "paired_effects"]
__all__ += ["selective_units", "study_attention", "views_of_data", "views_of_files", "write_report"]
