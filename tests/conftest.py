"""Settings of the whole suite."""

import hypothesis

# Examples are the same on every run, and a busy machine fails no test.
hypothesis.settings.register_profile("bogp", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("bogp")
