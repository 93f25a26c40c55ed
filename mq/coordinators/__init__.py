"""The coordinators: pure machines that decide who owns what and how far everyone has come.

They own no log, no socket and no clock. ``effects`` says how they speak to their owner; ``groups``
is the one that requests are handed to.
"""
