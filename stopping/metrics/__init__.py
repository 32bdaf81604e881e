"""What rules did on labelled streams, beside what was promised: rates, lead times, intervals."""
