//! `syncline openapi`: print the API's specification.

use std::io::{self, Write};

pub(crate) fn run() -> io::Result<()> {
    io::stdout().lock().write_all(syncline::openapi::specification().as_bytes())
}
