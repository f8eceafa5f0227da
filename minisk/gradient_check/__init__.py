"""The gradient checker: is a derivative right, and if not, what is wrong with it, and where?

differences   numeric slopes with an estimate of their error      subjects   what can be checked
probes        mistakes that show without them                     checker    `gradcheck` itself
report        verdicts, tables, pictures                          command    `minisk gradcheck`
"""

from .checker import gradcheck
from .report import GradcheckReport, Row, Summary, Verdict

__all__ = ["GradcheckReport", "Row", "Summary", "Verdict", "gradcheck"]
