//! How much more memory the process may take, as far as it can be known.
