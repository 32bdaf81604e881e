"""Records in, decisions out: schema and codec, the engine, the worker, the drivers."""
