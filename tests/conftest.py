"""What holds for all tests.

Properties are tried with the same examples every time, however slow the machine: a test that fails once in a hundred
runs stops whoever did not cause it; new examples are what `make fuzz` is for. Ctrl-C is itself, also for the commands
that tests start: a shell that runs the tests in the background has SIGINT ignored, and children inherit that.
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gatebus", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gatebus")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
