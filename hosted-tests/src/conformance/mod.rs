//! Suites that every implementation of a port goes through.
