//! Slugs: the names of tenants and apps in URLs. They never change, because devices have them built in.

use std::fmt;

/// A tenant's or an app's name in URLs: 3 to 40 of `a-z`, `0-9` and `-`, no dash at either end or doubled, not reserved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Slug(String);

/// Why a text is no slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlug {
    #[error("Use {} to {} characters.", Slug::MIN_CHARS, Slug::MAX_CHARS)]
    Length,
    #[error("Use only lowercase letters a–z, digits and dashes.")]
    Characters,
    #[error("Begin and end with a letter or a digit, and use no two dashes in a row.")]
    Dashes,
    #[error("“{0}” is reserved. Choose another name.")]
    Reserved(String),
}

/// Words that stand, or may one day stand, where a slug does: in our URLs (`/d/{tenant}/apps/new`), in host names,
/// or as a promise about who speaks.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "acme-challenge",
    "admin",
    "administrator",
    "api",
    "app",
    "apps",
    "assets",
    "audit",
    "auth",
    "billing",
    "blog",
    "cdn",
    "conflicts",
    "console",
    "contact",
    "dashboard",
    "devices",
    "docs",
    "download",
    "health",
    "help",
    "history",
    "home",
    "host",
    "info",
    "internal",
    "invitations",
    "invite",
    "join",
    "keys",
    "leave",
    "legal",
    "livez",
    "localhost",
    "login",
    "logout",
    "mail",
    "members",
    "metrics",
    "new",
    "null",
    "oauth",
    "openapi",
    "owner",
    "platform",
    "postgres",
    "postmaster",
    "pricing",
    "privacy",
    "public",
    "readyz",
    "register",
    "rejected",
    "root",
    "schema",
    "security",
    "settings",
    "sign-in",
    "sign-out",
    "sign-up",
    "signin",
    "signout",
    "signup",
    "static",
    "status",
    "support",
    "sync",
    "syncline",
    "syncx",
    "system",
    "tables",
    "tenant",
    "tenants",
    "terms",
    "undefined",
    "user",
    "users",
    "version",
    "webhooks",
    "webmaster",
    "well-known",
    "www",
];

impl Slug {
    pub const MIN_CHARS: usize = 3;
    pub const MAX_CHARS: usize = 40;

    /// A slug as a person typed it. Capitals and surrounding blanks are forgiven; nothing else is.
    pub fn parse_new(typed: &str) -> Result<Self, InvalidSlug> {
        let slug = typed.trim().to_ascii_lowercase();
        if !slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(InvalidSlug::Characters);
        }
        if !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&slug.len()) {
            return Err(InvalidSlug::Length);
        }
        if slug.starts_with('-') || slug.ends_with('-') || slug.contains("--") {
            return Err(InvalidSlug::Dashes);
        }
        if RESERVED.contains(&slug.as_str()) {
            return Err(InvalidSlug::Reserved(slug));
        }
        Ok(Self(slug))
    }

    /// A slug in a URL: exactly as we would have written it, else there is no such thing.
    pub fn parse_in_url(text: &str) -> Option<Self> {
        Self::parse_new(text).ok().filter(|slug| slug.0 == text)
    }

    /// A slug made from any name: letters of the Latin script lose their accents, everything else becomes a dash.
    /// None when nothing usable remains (`日本`), and the person has to type one.
    pub fn suggest(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            match without_accent(c) {
                "" if c.is_ascii_alphanumeric() => slug.push(c),
                "" if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
                plain => slug.push_str(plain),
            }
            if slug.len() >= Self::MAX_CHARS {
                break;
            }
        }
        slug.truncate(Self::MAX_CHARS);
        let slug = slug.trim_matches('-');
        let slug = if slug.len() < Self::MIN_CHARS && !slug.is_empty() {
            format!("{slug}-app")
        } else {
            slug.to_owned()
        };
        Self::parse_new(&slug).or_else(|_| Self::parse_new(&format!("my-{slug}"))).ok()
    }

    /// The same with a number behind it, for when it is taken.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!("-{number}");
        let keep = self.0.len().min(Self::MAX_CHARS - suffix.len());
        Self(format!("{}{suffix}", self.0[..keep].trim_end_matches('-')))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ASCII letters for a small letter with an accent; empty for any other character.
fn without_accent(c: char) -> &'static str {
    match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => "",
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_short_plain_and_not_reserved() {
        assert_eq!(Slug::parse_new(" Acme-2 ").unwrap().as_str(), "acme-2");
        assert_eq!(Slug::parse_new("ab"), Err(InvalidSlug::Length));
        assert_eq!(Slug::parse_new(""), Err(InvalidSlug::Length));
        assert_eq!(Slug::parse_new(&"a".repeat(41)), Err(InvalidSlug::Length));
        assert_eq!(Slug::parse_new("-acme"), Err(InvalidSlug::Dashes));
        assert_eq!(Slug::parse_new("a--b"), Err(InvalidSlug::Dashes));
        for hostile in ["acmé", "../etc", "a b c", "a/b/c", "abc\0", "a'; drop", "ＡＢＣ", "аcme"] {
            assert_eq!(Slug::parse_new(hostile), Err(InvalidSlug::Characters), "{hostile:?}");
        }
        assert_eq!(Slug::parse_new("Admin"), Err(InvalidSlug::Reserved("admin".to_owned())));
        assert_eq!(Slug::parse_in_url("Acme"), None);
        assert!(Slug::parse_in_url("acme").is_some());
    }

    #[test]
    fn a_name_suggests_a_slug() {
        let suggest = |name: &str| Slug::suggest(name).map(|slug| slug.0);
        assert_eq!(suggest("Zoë's Café & Søn").as_deref(), Some("zoe-s-cafe-son"));
        assert_eq!(suggest("Straße").as_deref(), Some("strasse"));
        assert_eq!(suggest("X").as_deref(), Some("x-app"));
        assert_eq!(suggest("Admin").as_deref(), Some("my-admin"));
        assert_eq!(suggest("日本"), None);
        assert_eq!(suggest("--- ---"), None);
        assert_eq!(suggest(&"long name ".repeat(50)).map(|slug| slug.len()), Some(39));
    }

    #[test]
    fn a_taken_slug_can_be_numbered() {
        assert_eq!(Slug::parse_new("acme").unwrap().numbered(2).as_str(), "acme-2");
        let long = Slug::parse_new(&"a".repeat(40)).unwrap().numbered(12);
        assert_eq!(long.as_str().len(), 40);
        assert!(Slug::parse_in_url(long.as_str()).is_some());
    }

    #[test]
    fn reserved_words_are_sorted_and_are_slugs_otherwise() {
        assert!(RESERVED.is_sorted());
    }
}
