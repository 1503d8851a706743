//! What is said about forebay: formats, sizes, files that documents show, the image of all functions, inputs that were kept.

mod corpus;
mod facade;
mod formats;
mod fuzzed;
mod imports;
mod panic_free;
mod readme;
mod show;
mod sizes;
mod smoke;
mod surface;
mod words;
