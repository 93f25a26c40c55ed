"""Three services that talk through topics: orders, payments, notifications.

``python -m examples.orders`` runs them as real processes and shows what happens to forty orders.
"""
