//! Memory that is shmem from birth: a page source and a store at once, on Linux.

mod headroom;
mod surroundings;
