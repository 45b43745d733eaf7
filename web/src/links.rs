//! Every address of the dashboard, made in one place.
//!
//! Scope, source and table names are arbitrary text: [`segment`] makes a path segment of any of them and
//! [`read_segment`] reads it back.

use std::fmt;

use askama::filters::urlencode_strict;

pub const LANDING: &str = "/";
pub const SIGN_UP: &str = "/sign-up";
pub const SIGN_IN: &str = "/sign-in";
pub const SIGN_OUT: &str = "/sign-out";
pub const ACCOUNT: &str = "/account";
pub const ACCOUNT_PASSWORD: &str = "/account/password";
pub const ACCOUNT_TOTP: &str = "/account/totp";
pub const ACCOUNT_TOTP_BEGIN: &str = "/account/totp/begin";
pub const ACCOUNT_TOTP_CONFIRM: &str = "/account/totp/confirm";
pub const ACCOUNT_TOTP_DISABLE: &str = "/account/totp/disable";
pub const ACCOUNT_RECOVERY_CODES: &str = "/account/recovery-codes";
pub const ACCOUNT_END_OTHER_SESSIONS: &str = "/account/sessions/end-others";
pub const ACCOUNT_DELETE: &str = "/account/delete";
pub const SIGN_IN_CODE: &str = "/sign-in/code";
pub const TENANTS: &str = "/d";

/// Where a session of one's own is ended.
pub fn end_session(handle: &str) -> String {
    format!("/account/sessions/{}/end", segment(handle))
}

/// Where an invitation is accepted. The token is letters and digits.
pub fn invitation(token: &str) -> String {
    format!("/invite/{}", segment(token))
}

/// Where a person who was invited makes an account.
pub fn invited_sign_up(token: &str) -> String {
    format!("/invite/{}/sign-up", segment(token))
}

/// `text` as one segment of a path.
///
/// Browsers resolve the segments `.` and `..` even when they are percent-encoded, so these get a `~` in front, and
/// so do whatever begins with one and the empty text, which would be no segment.
pub fn segment(text: &str) -> String {
    let tilde = if text.starts_with('~') || matches!(text, "" | "." | "..") { "~" } else { "" };
    format!("{tilde}{}", encode(text))
}

/// What [`segment`] was given, from a segment that the router has percent-decoded.
pub fn read_segment(decoded: &str) -> &str {
    decoded.strip_prefix('~').unwrap_or(decoded)
}

/// `text` percent-encoded, for a path segment or a query value.
fn encode(text: &str) -> impl fmt::Display {
    match urlencode_strict(text) {
        Ok(encoded) => encoded,
        Err(never) => match never {},
    }
}

/// `path?name=value&…` of the values that are not empty.
pub fn with_query(path: &str, values: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    let mut separator = '?';
    for (name, value) in values.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(separator);
        address.push_str(name);
        address.push('=');
        address.push_str(&encode(value).to_string());
        separator = '&';
    }
    address
}

/// Addresses below `/d/{tenant}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLinks {
    base: String,
}

impl TenantLinks {
    pub fn new(tenant_slug: &str) -> Self {
        Self { base: format!("/d/{}", segment(tenant_slug)) }
    }

    pub fn home(&self) -> &str {
        &self.base
    }

    pub fn new_app(&self) -> String {
        format!("{}/apps/new", self.base)
    }

    pub fn members(&self) -> String {
        format!("{}/members", self.base)
    }

    /// Where a member's role is changed, the member removed or made the owner: `action` is `role`, `remove` or `transfer`.
    pub fn member(&self, account_id: &str, action: &str) -> String {
        format!("{}/members/{}/{action}", self.base, segment(account_id))
    }

    pub fn audit(&self) -> String {
        format!("{}/audit", self.base)
    }

    pub fn audit_csv(&self) -> String {
        format!("{}/audit.csv", self.base)
    }

    pub fn audit_ndjson(&self) -> String {
        format!("{}/audit.ndjson", self.base)
    }

    pub fn invitations(&self) -> String {
        format!("{}/invitations", self.base)
    }

    pub fn revoke_invitation(&self, id: &str) -> String {
        format!("{}/invitations/{}/revoke", self.base, segment(id))
    }

    pub fn leave(&self) -> String {
        format!("{}/leave", self.base)
    }

    pub fn settings(&self) -> String {
        format!("{}/settings", self.base)
    }

    pub fn delete(&self) -> String {
        format!("{}/settings/delete", self.base)
    }

    pub fn app(&self, app_slug: &str) -> AppLinks {
        AppLinks { base: format!("{}/{}", self.base, segment(app_slug)) }
    }
}

/// Addresses below `/d/{tenant}/{app}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLinks {
    base: String,
}

impl AppLinks {
    pub fn overview(&self) -> &str {
        &self.base
    }

    /// The overview as a stream.
    pub fn live(&self) -> String {
        format!("{}/live", self.base)
    }

    pub fn tables(&self) -> String {
        format!("{}/tables", self.base)
    }

    pub fn table(&self, name: &str) -> String {
        format!("{}/tables/{}", self.base, segment(name))
    }

    pub fn row(&self, table: &str, scope: &str, key: &str) -> String {
        with_query(&format!("{}/row", self.table(table)), &[("scope", scope), ("key", key)])
    }

    pub fn new_row(&self, table: &str, scope: &str) -> String {
        with_query(&format!("{}/new", self.table(table)), &[("scope", scope)])
    }

    pub fn row_preview(&self, table: &str) -> String {
        format!("{}/row/preview", self.table(table))
    }

    pub fn row_write(&self, table: &str) -> String {
        format!("{}/row/write", self.table(table))
    }

    pub fn table_import(&self, table: &str) -> String {
        format!("{}/import", self.table(table))
    }

    pub fn table_import_apply(&self, table: &str) -> String {
        format!("{}/import/apply", self.table(table))
    }

    pub fn table_csv(&self, name: &str) -> String {
        format!("{}/export.csv", self.table(name))
    }

    pub fn table_ndjson(&self, name: &str) -> String {
        format!("{}/export.ndjson", self.table(name))
    }

    pub fn schema_map(&self) -> String {
        format!("{}/schema/map", self.base)
    }

    pub fn schema(&self) -> String {
        format!("{}/schema", self.base)
    }

    pub fn schema_preview(&self) -> String {
        format!("{}/schema/preview", self.base)
    }

    pub fn schema_apply(&self) -> String {
        format!("{}/schema/apply", self.base)
    }

    pub fn users(&self) -> String {
        format!("{}/users", self.base)
    }

    pub fn user(&self, scope: &str) -> String {
        format!("{}/users/{}", self.base, segment(scope))
    }

    /// Where the tokens of an end user are revoked, from a page about the scope.
    pub fn revoke_tokens(&self, scope: &str) -> String {
        format!("{}/revoke-tokens", self.user(scope))
    }

    /// Where that is taken back.
    pub fn lift_revocation(&self, scope: &str) -> String {
        format!("{}/lift-revocation", self.user(scope))
    }

    pub fn retire_device(&self, scope: &str, source: &str) -> String {
        format!("{}/retire", self.device(scope, source))
    }

    /// What can be done with a user: `erase`, `token`, `export.ndjson`, `export.sqlite`.
    pub fn user_action(&self, scope: &str, action: &str) -> String {
        format!("{}/{action}", self.user(scope))
    }

    pub fn devices(&self) -> String {
        format!("{}/devices", self.base)
    }

    pub fn device(&self, scope: &str, source: &str) -> String {
        format!("{}/devices/{}/{}", self.base, segment(scope), segment(source))
    }

    pub fn conflicts(&self) -> String {
        format!("{}/conflicts", self.base)
    }

    pub fn conflict(&self, id: &str) -> String {
        format!("{}/conflicts/{}", self.base, segment(id))
    }

    pub fn settle_conflict_preview(&self, id: &str) -> String {
        format!("{}/settle/preview", self.conflict(id))
    }

    pub fn settle_conflict(&self, id: &str) -> String {
        format!("{}/settle", self.conflict(id))
    }

    pub fn history(&self) -> String {
        format!("{}/history", self.base)
    }

    pub fn bundle(&self, scope: &str, seq: &i64) -> String {
        format!("{}/history/{}/{seq}", self.base, segment(scope))
    }

    pub fn undo_bundle_preview(&self, scope: &str, seq: &i64) -> String {
        format!("{}/undo/preview", self.bundle(scope, seq))
    }

    pub fn undo_bundle(&self, scope: &str, seq: &i64) -> String {
        format!("{}/undo", self.bundle(scope, seq))
    }

    pub fn row_history(&self, scope: &str, table: &str, key: &str) -> String {
        format!("{}/history/{}/rows/{}/{}", self.base, segment(scope), segment(table), segment(key))
    }

    pub fn restore_row_preview(&self, scope: &str, table: &str, key: &str) -> String {
        format!("{}/restore/preview", self.row_history(scope, table, key))
    }

    pub fn restore_row(&self, scope: &str, table: &str, key: &str) -> String {
        format!("{}/restore", self.row_history(scope, table, key))
    }

    pub fn simulator(&self) -> String {
        format!("{}/simulator", self.base)
    }

    pub fn simulator_steps(&self) -> String {
        format!("{}/simulator/steps", self.base)
    }

    pub fn remove_simulation(&self) -> String {
        format!("{}/simulator/remove", self.base)
    }

    pub fn rejected_writes(&self) -> String {
        format!("{}/rejected", self.base)
    }

    pub fn rejected_write(&self, id: &str) -> String {
        format!("{}/rejected/{}", self.base, segment(id))
    }

    pub fn rejected_write_state(&self, id: &str) -> String {
        format!("{}/state", self.rejected_write(id))
    }

    pub fn api_keys(&self) -> String {
        format!("{}/keys", self.base)
    }

    pub fn revoke_api_key(&self, id: &str) -> String {
        format!("{}/keys/{}/revoke", self.base, segment(id))
    }

    pub fn settings(&self) -> String {
        format!("{}/settings", self.base)
    }

    pub fn end_user_auth(&self) -> String {
        format!("{}/settings/end-user-auth", self.base)
    }

    pub fn test_token(&self) -> String {
        format!("{}/settings/test-token", self.base)
    }

    pub fn delete(&self) -> String {
        format!("{}/settings/delete", self.base)
    }

    pub fn openapi(&self) -> String {
        format!("{}/docs/openapi.json", self.base)
    }

    pub fn docs(&self) -> String {
        format!("{}/docs", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_scope_can_be_addressed() {
        let app = TenantLinks::new("acme").app("notes");
        assert_eq!(app.user("u/1 ä?"), "/d/acme/notes/users/u%2F1%20%C3%A4%3F");
        assert_eq!(app.user(".."), "/d/acme/notes/users/~..");
        for scope in ["", ".", "..", "~", "~..", "...", "plain"] {
            let address = segment(scope);
            assert!(!matches!(address.as_str(), "" | "." | ".."));
            assert_eq!(read_segment(&address.replace("%7E", "~")), scope);
        }
    }

    #[test]
    fn a_query_leaves_out_what_is_empty() {
        assert_eq!(with_query("/x", &[("a", ""), ("b", "1&2"), ("c", "ü")]), "/x?b=1%262&c=%C3%BC");
        assert_eq!(with_query("/x", &[("a", "")]), "/x");
    }
}
