"""What users declare, and the engine that delivers records to it."""
