"""Durable partitions in Kafka's own files: the storage engine under every topic and all state."""
