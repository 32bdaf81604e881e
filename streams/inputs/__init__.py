"""From the records of a batch to the steps that a classifier reads, one module a modality."""
