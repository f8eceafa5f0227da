"""The gradient checker: is a derivative right, and if not, what is wrong with it, and where?

subjects      what can be checked                                  checker         `gradcheck` itself
probes        mistakes that show before any number is compared     report          verdicts, tables, pictures
differences   numeric slopes with an estimate of their error       command         `minisk gradcheck`
elements      the search for the elements that are wrong           pytest_plugin   a fixture
"""

from .checker import gradcheck
from .report import GradcheckReport, Row, Summary, Verdict

__all__ = ["GradcheckReport", "Row", "Summary", "Verdict", "gradcheck"]
