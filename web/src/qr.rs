//! QR codes as one SVG path: no image, no script, no inline style.

use std::fmt;

use qrcode::{Color, EcLevel, QrCode};

/// A QR code. `Debug` does not show it: what is in it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Qr {
    /// Modules from edge to edge, the quiet zone included.
    pub width: usize,
    /// The dark modules, as the `d` of a path.
    pub path: String,
}

impl Qr {
    /// Modules that stay light around the code (ISO 18004).
    const QUIET: usize = 4;

    /// None if the text does not fit.
    pub fn new(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(width).enumerate() {
            let mut x = 0;
            // One rectangle a run of dark modules.
            while x < width {
                let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
                if run > 0 {
                    path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + Self::QUIET, y + Self::QUIET));
                }
                x += run.max(1);
            }
        }
        Some(Self { width: width + 2 * Self::QUIET, path })
    }
}

impl fmt::Debug for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Qr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_finder_in_the_corner_and_a_quiet_zone() {
        let qr = Qr::new("otpauth://totp/Syncline:ada%40example.com?secret=GEZDGNBVGY3TQOJQ&issuer=Syncline")
            .unwrap();
        assert!(qr.path.starts_with("M4 4h7v1h-7z"), "{}", &qr.path[..40]);
        assert_eq!((qr.width - 8 - 17) % 4, 0);
        assert_eq!(format!("{qr:?}"), "Qr");
        assert!(Qr::new(&"x".repeat(10_000)).is_none());
    }
}
