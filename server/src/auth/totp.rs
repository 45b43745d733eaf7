//! Time-based one-time passwords (RFC 6238) in the form that every authenticator app knows: SHA-1, six digits, thirty
//! seconds.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use time::OffsetDateTime;

use super::secret_token::same_secret;
use crate::ids::Chance;

/// What the server and the person's authenticator share. Shown while it is being set up, never again.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; TotpSecret::BYTES]);

impl TotpSecret {
    /// What RFC 4226 recommends: as long as the hash.
    pub const BYTES: usize = 20;
    const STEP_SECONDS: i64 = 30;
    /// Codes of so many steps before and after the present one are taken too: clocks differ, and people type slowly.
    const SKEW_STEPS: i64 = 1;

    pub fn generate(chance: &Chance) -> Self {
        Self(chance.bytes())
    }

    /// A secret that was kept; None if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As people type it into an authenticator: base32 (RFC 4648) without padding.
    pub fn base32(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        // 5 bytes are 8 letters, and 20 is a multiple of 5.
        let letters = self.0.chunks_exact(5).flat_map(|bytes| {
            let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            (0..8).rev().map(move |place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize]))
        });
        letters.collect()
    }

    /// What the QR code says.
    pub fn url(&self, account: &str) -> String {
        let label: String = account.bytes().map(percent_encoded).collect();
        format!("otpauth://totp/Syncline:{label}?secret={}&issuer=Syncline", self.base32())
    }

    /// The time step whose code was typed, if it is one of now and later than `after`. Keep it as the next `after`: a code
    /// is good once.
    pub fn step_of(&self, typed: &str, now: OffsetDateTime, after: i64) -> Option<i64> {
        let present = now.unix_timestamp().div_euclid(Self::STEP_SECONDS);
        let steps = present - Self::SKEW_STEPS..=present + Self::SKEW_STEPS;
        // Every step is compared, so that the time it takes does not tell which.
        let fitting = steps.filter(|step| same_secret(self.code(*step).as_bytes(), typed.as_bytes()));
        fitting.fold(None, |_, step| Some(step)).filter(|step| *step > after)
    }

    /// The code of now, as an authenticator shows it.
    pub fn code_at(&self, now: OffsetDateTime) -> String {
        self.code(now.unix_timestamp().div_euclid(Self::STEP_SECONDS))
    }

    fn code(&self, step: i64) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).expect("BUG: HMAC takes a key of any length");
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        // RFC 4226, 5.3: the last four bits say where four bytes are taken, without their first bit.
        let at = usize::from(hash[19] & 15);
        let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
        format!("{:06}", number % 1_000_000)
    }
}

fn percent_encoded(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").unwrap()
    }

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(rfc_secret().code_at(at(seconds)), code);
        }
        assert_eq!(rfc_secret().base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_code_is_good_for_a_step_around_now_and_once() {
        let (secret, now) = (rfc_secret(), at(1_111_111_109));
        let step = secret.step_of("081804", now, 0).unwrap();
        // The code's step began 29 seconds before `now`; the one before and the one after are good as well.
        for seconds in [-59, -30, -29, 1, 30] {
            let found = secret.step_of("081804", now + time::Duration::seconds(seconds), 0);
            assert_eq!(found, Some(step), "{seconds} seconds off");
        }
        for seconds in [-60, 31] {
            assert_eq!(secret.step_of("081804", now + time::Duration::seconds(seconds), 0), None);
        }
        assert_eq!(secret.step_of("081804", now, step), None, "again");
        for wrong in ["", "81804", "0818040", "081805", "０８１８０４"] {
            assert_eq!(secret.step_of(wrong, now, 0), None, "{wrong:?}");
        }
        assert_eq!(
            secret.url("a+b@x.de"),
            format!("otpauth://totp/Syncline:a%2Bb%40x.de?secret={}&issuer=Syncline", secret.base32())
        );
        assert_eq!(format!("{secret:?}"), "TotpSecret");
    }
}
