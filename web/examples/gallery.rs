//! Writes every sample page and the assets into a folder, to be looked at through any static file server:
//! `cargo run -p syncline-web --example gallery -- DIR`.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("name the folder to write to")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut index = String::from("<!DOCTYPE html><meta charset=utf-8><title>Gallery</title><ul>");
    for sample in samples::all() {
        fs::write(folder.join(format!("{}.html", sample.name)), &sample.html)?;
        let page = sample.page.rsplit("::").next().unwrap_or_default();
        index.push_str(&format!("<li><a href={0}.html>{0}</a> {page}", sample.name));
    }
    fs::write(folder.join("index.html"), index)?;
    for address in syncline_web::assets::addresses() {
        let asset = syncline_web::assets::find(&address).ok_or("an address finds its file")?;
        let path = folder.join("static").join(&address);
        fs::create_dir_all(path.parent().ok_or("a file is in a folder")?)?;
        fs::write(path, asset.bytes)?;
    }
    Ok(())
}
