"""What end-to-end tests and benchmarks stand on: real processes, real servers, a person with an authenticator."""
