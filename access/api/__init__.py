"""The JSON API: one module per client and subject. Handlers are plain functions, run in FastAPI's thread pool."""
