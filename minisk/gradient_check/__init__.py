"""The gradient checker: compare a gradient with finite differences, and locate what is wrong.

checker       `gradcheck` itself                          subjects        what can be checked, in one form
probes        checks that need no differences             user_frames     the user's lines in a traceback
differences   numeric slopes with an error estimate       report          verdicts, tables, pictures
elements      the search for the wrong elements           pytest_plugin   a fixture
"""

from .checker import gradcheck
from .report import GradcheckReport, InputSummary, Row, Verdict

__all__ = ["GradcheckReport", "InputSummary", "Row", "Verdict", "gradcheck"]
