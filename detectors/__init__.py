"""A classifier and a stopping rule under one name: trained, calibrated, judged and stored."""
