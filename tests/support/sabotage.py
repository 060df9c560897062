"""Tasks that kill their worker, to be put in the place of real ones."""

import os
import signal


def kill_worker(directory, *args):
    os.kill(os.getpid(), signal.SIGKILL)
