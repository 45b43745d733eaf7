//! The dashboard's pages that show an app's data, and the files that every page loads.

pub mod assets;
