//! The secrets of authenticator apps, sealed each for its account, and the apps' own JWT secrets, each for its app: with
//! the key that the database does not have.

use super::ControlPlane;
use crate::{
    auth::{
        sealing::{CannotOpen, SecretKey},
        totp::TotpSecret,
    },
    ids::{AccountId, AppId},
};

/// Secrets that are sealed in one go.
const BATCH: i64 = 500;

/// Why a server must not begin to serve.
#[derive(Debug, thiserror::Error)]
pub enum SealedSecretsError {
    #[error(
        "the authenticator secrets of {accounts} accounts were sealed with another key: set SYNCLINE_SECRET_KEY to the \
         one that sealed them, which every node must have. If it is lost for good, delete them from platform.totp: these \
         people then sign in with their password alone, until they set up a second factor again"
    )]
    AnotherKey { accounts: i64 },
    #[error(
        "the JWT secrets of {apps} apps were sealed with another key: set SYNCLINE_SECRET_KEY to the one that sealed them, \
         which every node must have. If it is lost for good, set sealed_jwt_secret of platform.app_end_user_auth to null: \
         these apps then accept no tokens of their own servers until their secret is set again"
    )]
    AnotherKeyOfApps { apps: i64 },
    #[error("the sealed secrets cannot be looked at")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// Seal the secrets that were stored before there was a key, and make sure that the others can be opened. Safe to
    /// call from several nodes at once, and at each start.
    ///
    /// # Errors
    /// When some are sealed with another key.
    pub async fn seal_stored_secrets(&self) -> Result<u64, SealedSecretsError> {
        let accounts = self
            .count_of_another_key(
                "select count(*) from platform.totp
                 where octet_length(secret) > $2 and substring(secret from 2 for 4) <> $1",
            )
            .await?;
        if accounts > 0 {
            return Err(SealedSecretsError::AnotherKey { accounts });
        }
        let apps = self
            .count_of_another_key(
                "select count(*) from platform.app_end_user_auth
                 where octet_length(sealed_jwt_secret) > $2 and substring(sealed_jwt_secret from 2 for 4) <> $1",
            )
            .await?;
        if apps > 0 {
            return Err(SealedSecretsError::AnotherKeyOfApps { apps });
        }
        Ok(self.seal_authenticator_secrets().await? + self.seal_jwt_secrets().await?)
    }

    async fn count_of_another_key(&self, query: &'static str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(query)
            .bind(&self.secret_key.name()[..])
            .bind(TotpSecret::BYTES as i32)
            .fetch_one(&self.pool)
            .await
    }

    async fn seal_authenticator_secrets(&self) -> Result<u64, sqlx::Error> {
        let mut sealed = 0;
        loop {
            let plain: Vec<(AccountId, Vec<u8>)> = sqlx::query_as(
                "select account_id, secret from platform.totp where octet_length(secret) = $1 limit $2",
            )
            .bind(TotpSecret::BYTES as i32)
            .bind(BATCH)
            .fetch_all(&self.pool)
            .await?;
            if plain.is_empty() {
                return Ok(sealed);
            }
            for (account, secret) in plain {
                let now =
                    sqlx::query("update platform.totp set secret = $3 where account_id = $1 and secret = $2")
                        .bind(account)
                        .bind(&secret)
                        .bind(self.secret_key.seal(&secret, &place(account), &self.chance))
                        .execute(&self.pool)
                        .await?;
                sealed += now.rows_affected();
            }
        }
    }

    async fn seal_jwt_secrets(&self) -> Result<u64, sqlx::Error> {
        let mut sealed = 0;
        loop {
            let plain: Vec<(AppId, String)> = sqlx::query_as(
                "select app_id, jwt_secret from platform.app_end_user_auth where jwt_secret is not null limit $1",
            )
            .bind(BATCH)
            .fetch_all(&self.pool)
            .await?;
            if plain.is_empty() {
                return Ok(sealed);
            }
            for (app, secret) in plain {
                let now = sqlx::query(
                    "update platform.app_end_user_auth set jwt_secret = null, sealed_jwt_secret = $3
                     where app_id = $1 and jwt_secret = $2",
                )
                .bind(app)
                .bind(&secret)
                .bind(self.sealed_jwt_secret(app, &secret))
                .execute(&self.pool)
                .await?;
                sealed += now.rows_affected();
            }
        }
    }

    /// A new JWT secret of that app, as it is stored.
    pub(super) fn sealed_jwt_secret(&self, app: AppId, secret: &str) -> Vec<u8> {
        self.secret_key.seal(secret.as_bytes(), &place_of_jwt(app), &self.chance)
    }

    /// The JWT secret that was stored for that app, plain before there was a key.
    pub(super) fn opened_jwt_secret(
        &self,
        app: AppId,
        plain: Option<String>,
        sealed: Option<&[u8]>,
    ) -> Result<Option<String>, CannotOpen> {
        let Some(sealed) = sealed else { return Ok(plain) };
        let secret = self.secret_key.open(sealed, &place_of_jwt(app))?;
        String::from_utf8(secret).map(Some).map_err(|_| CannotOpen::Damaged)
    }

    /// A new authenticator secret of that account, as it is stored.
    pub(super) fn sealed(&self, account: AccountId, secret: &TotpSecret) -> Vec<u8> {
        self.secret_key.seal(secret.as_bytes(), &place(account), &self.chance)
    }

    /// The authenticator secret that was stored for that account.
    pub(super) fn opened(&self, account: AccountId, stored: &[u8]) -> Result<TotpSecret, CannotOpen> {
        // A node from before there was a key has written it since this one started.
        if let Some(plain) = TotpSecret::from_bytes(stored) {
            return Ok(plain);
        }
        let secret = self.secret_key.open(stored, &place(account))?;
        TotpSecret::from_bytes(&secret).ok_or(CannotOpen::Damaged)
    }
}

/// What a secret is sealed for.
fn place(account: AccountId) -> String {
    format!("totp of {account}")
}

fn place_of_jwt(app: AppId) -> String {
    format!("jwt secret of {app}")
}

/// The length of a stored secret is how plain ones are told from sealed ones, and the database checks it.
const _: () = assert!(TotpSecret::BYTES + SecretKey::OVERHEAD == 65);
