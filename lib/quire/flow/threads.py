"""On how many cores a process computes; called in the kernels of stages."""

import os
import sys

THREADS = "OMP_NUM_THREADS"
"""OpenBLAS and Arrow heed it too."""

USE = "__import__('quire.flow.threads').flow.threads.use({count})"
"""What a kernel is told, in words that leave no name behind in the notebook."""


def use(count: int) -> None:
    """Compute in ``count`` threads from now on, also with libraries that were loaded for another number."""
    from threadpoolctl import threadpool_limits

    os.environ[THREADS] = str(count)
    threadpool_limits(count)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(count)
