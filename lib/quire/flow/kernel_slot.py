"""A thread with a kernel: started ahead of its notebook, shut down behind it."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Work = Callable[["KernelSlot"], None]


class KernelSlot(threading.Thread):
    """Starts a kernel at once, then does one piece of work with it, then closes it; all in this thread."""

    def __init__(self, name: str, make_kernel: Callable[[], Any]) -> None:
        """make_kernel: returns a kernel that is not started yet."""
        super().__init__(name=f"slot-{name}", daemon=True)
        self._make_kernel = make_kernel
        self._orders: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._kernel: Any = None
        self._problem: Exception | None = None
        self._killed = False
        self._done = threading.Event()

    def give(self, work: Work) -> None:
        """Hand over the work; it is done in the slot's thread as soon as the kernel is up."""
        self._orders.put(work)

    def drop(self) -> None:
        """End the kernel: there is no work for it."""
        self.kill()
        self._orders.put(None)

    def kill(self) -> None:
        """End the kernel at once, whatever it does; may be called from any thread."""
        with self._lock:
            self._killed = True
            if self._kernel is not None:
                self._kernel.kill()

    def kernel(self) -> Any:
        """Return the running kernel; raises what went wrong when it started."""
        if self._problem is not None:
            raise self._problem
        return self._kernel

    def renew(self) -> None:
        """Replace the kernel by a new one."""
        self._close()
        self._start()

    def run(self) -> None:
        """Start the kernel, do the work, close the kernel."""
        self._start()
        work = self._orders.get()
        try:
            if work is not None:
                work(self)
        finally:
            self._done.set()
            self._close()

    def wait(self) -> None:
        """Return when the work is done; the kernel may still be shutting down."""
        self._done.wait()

    def _start(self) -> None:
        self._problem = None
        try:
            kernel = self._make_kernel()
            with self._lock:
                self._kernel = kernel
                if self._killed:
                    kernel.kill()
            kernel.start()
        except Exception as error:
            self._problem = error

    def _close(self) -> None:
        with self._lock:
            kernel, self._kernel = self._kernel, None
        if kernel is not None:
            kernel.close()
