//! Style sheets, scripts, fonts and images, embedded in the binary.
//!
//! Every address carries one hash over all files, so that whatever a page loads belongs together, a browser may keep
//! it for ever, and a style sheet can name its fonts by relative path.

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

#[derive(rust_embed::RustEmbed)]
#[folder = "../static"]
struct Files;

/// Where the files are mounted, without a trailing slash.
pub const MOUNT: &str = "/static";

/// The style sheets that every page loads, in the order of the cascade.
pub const STYLE_SHEETS: [&str; 9] = [
    "css/tokens.css",
    "css/base.css",
    "css/layout.css",
    "css/forms.css",
    "css/components.css",
    "css/charts.css",
    "css/overview.css",
    "css/pages.css",
    "css/simulator.css",
];

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort_unstable();
    // FNV-1a over names and content hashes: only a change has to show, nobody has to be kept from forging it.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for name in &names {
        let content = Files::get(name).map(|file| file.metadata.sha256_hash()).unwrap_or_default();
        for byte in name.bytes().chain(content) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let mut text = String::with_capacity(16);
    write!(text, "{hash:016x}").expect("BUG: writing to a string cannot fail");
    text
});

/// One embedded file, ready to be answered with.
#[derive(Debug)]
pub struct Asset {
    pub bytes: Cow<'static, [u8]>,
    pub content_type: &'static str,
    /// The address carried the hash of this very build: the answer never changes.
    pub immutable: bool,
}

/// The address of the file at `path` below `static/`, for instance `/static/0123456789abcdef/css/base.css`.
pub fn url(path: &str) -> String {
    debug_assert!(Files::get(path).is_some(), "BUG: a page names the asset {path}, which does not exist");
    format!("{MOUNT}/{}/{path}", *HASH)
}

/// What [`find`] takes, for every file.
pub fn addresses() -> impl Iterator<Item = String> {
    Files::iter().map(|path| format!("{}/{path}", *HASH))
}

/// The file behind `{hash}/{path}`, the part of an address after [`MOUNT`] and a slash.
///
/// A hash of another build finds today's file (a page may outlive a deployment), but must not be kept.
pub fn find(address: &str) -> Option<Asset> {
    let (hash, path) = address.split_once('/')?;
    if hash.len() != HASH.len() || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let file = Files::get(path)?;
    Some(Asset { bytes: file.data, content_type: content_type(path), immutable: hash == *HASH })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_its_file_and_may_be_kept_for_ever() {
        let address = url("css/tokens.css");
        let asset = find(address.strip_prefix("/static/").unwrap()).unwrap();
        assert!(asset.immutable);
        assert_eq!(asset.content_type, "text/css; charset=utf-8");
        assert!(asset.bytes.starts_with(b"/*"));
    }

    #[test]
    fn a_page_of_an_earlier_build_still_finds_its_files() {
        assert!(!find("0000000000000000/css/tokens.css").unwrap().immutable);
        assert!(find("css/tokens.css").is_none());
        assert!(find("0000000000000000/../Cargo.toml").is_none());
        assert!(find("0000000000000000/css/none.css").is_none());
    }

    #[test]
    fn every_style_sheet_exists() {
        for path in STYLE_SHEETS {
            assert!(Files::get(path).is_some(), "{path}");
        }
    }
}
