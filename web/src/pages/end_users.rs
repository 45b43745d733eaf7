//! What the pages of a user and of a device share: the tokens with which an end user is let in.

use serde::Deserialize;
use time::OffsetDateTime;

/// The tokens of an end user, and the forms that end them: `end_users/_tokens.html`, for which a page has its `holders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUserTokens {
    /// The user as tokens name them.
    pub user: String,
    /// The scope of the page that has the forms.
    pub scope: String,
    /// The device whose page it is; empty on a user's page.
    pub source: String,
    /// Tokens that were issued until then are refused.
    pub revoked_at: Option<OffsetDateTime>,
}

/// What those forms send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EndUserTokensInput {
    pub user: String,
    /// The device whose page it was.
    pub source: String,
}
