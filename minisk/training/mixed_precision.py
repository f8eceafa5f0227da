"""Loss scaling: what float16 gradients need beside `ms.autocast`.

    loss · scale  →  gradients · scale: small ones do not become 0 in float16    →  divided by scale before the step

If a gradient overflowed, the step is left out and the scale halved; after 2,000 steps in a row without that, it is
doubled. Source: Micikevicius et al., *Mixed Precision Training*, 2018; PyTorch's GradScaler has the same numbers.
"""

import math
from dataclasses import dataclass

from ..errors import MiniskError

STEPS_TO_GROW = 2000
_LEAST = 2.0**-24


@dataclass
class LossScale:
    """The factor of the loss, a power of two, and how many steps in a row went without an overflow."""

    scale: float = 65536.0
    good_steps: int = 0

    def update(self, norm: float) -> bool:
        """Return whether to take the step, given the norm of the scaled gradients, and set the scale of the next one.

        Raises MiniskError if the gradients are not finite at any scale.
        """
        if not math.isfinite(norm):
            self.scale, self.good_steps = self.scale / 2, 0
            if self.scale < _LEAST:
                raise MiniskError("mixed precision: the gradient is not finite at any scale of the loss")
            return False
        self.good_steps += 1
        if self.good_steps == STEPS_TO_GROW:
            self.scale, self.good_steps = self.scale * 2, 0
        return True
