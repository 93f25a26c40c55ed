"""The broker: requests meet state.

From the wire inward: ``server`` and ``connection`` move frames (``inbound``, ``outbound``),
``dispatcher`` finds the handler in ``apis``, handlers ask and change ``broker``, which owns all
state: ``catalog`` (what exists), ``partitions`` (its logs), ``group_owner`` (the group
coordinator), ``syncs`` and ``waiting`` (who waits for what). ``process`` is the whole as a
program.
"""
