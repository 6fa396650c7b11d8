//! Vector instructions chosen at run time.
