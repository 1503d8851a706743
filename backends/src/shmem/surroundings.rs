//! What the machine offers a shmem arena, and what it lacks.
