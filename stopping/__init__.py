"""When to stop: readiness signals, calibrated thresholds, certificates. Functions on arrays."""
