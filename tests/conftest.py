"""What holds for all tests: properties are tried with the same examples every time, however slow the machine.

A test that fails once in a hundred runs stops whoever did not cause it. New examples are what `make fuzz` is for.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gatebus", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gatebus")
