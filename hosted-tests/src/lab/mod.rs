//! The lab: forebay on real files.
